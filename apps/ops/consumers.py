"""The consumer's side of a probe (apps/ops/verification): the inbox entry is all that is wanted."""

from apps.events.consumers.registry import consumes
from apps.messages.envelope import Envelope
from apps.messages.probes import PlatformProbed

PROBES = "platform.probes"


@consumes(PlatformProbed, group=PROBES)
def probed(message: PlatformProbed, envelope: Envelope) -> None:
    pass
