"""Status messages about exchange keys: what a worker met with is written into the key's row."""

from django.utils import timezone

from apps.events.consumers.registry import consumes
from apps.messages.envelope import Envelope
from apps.messages.kraken import KrakenKeyChecked, KrakenKeyTestFailed
from apps.vault.services.recheck import credential_note_check
from apps.vault.services.refused_keys import credential_note_refusal

KEYS = "kraken.keys"


@consumes(KrakenKeyTestFailed, group=KEYS)
def key_test_failed(message: KrakenKeyTestFailed, envelope: Envelope) -> None:  # noqa: ARG001
    credential_note_refusal(message, now=timezone.now())


@consumes(KrakenKeyChecked, group=KEYS)
def key_checked(message: KrakenKeyChecked, envelope: Envelope) -> None:  # noqa: ARG001
    credential_note_check(message, now=timezone.now())
