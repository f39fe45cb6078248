"""Notes from which networks machine keys are used, and calls the listeners for a new one."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core.identity.machine_keys import use_is_due, use_is_written, use_write
from apps.core.identity.networks import network_of
from apps.core.identity.principal import MachineKeyPrincipal

Listener = Callable[[UUID, UUID, datetime], None]

# Called with the owner, the key and the time (UTC), in the transaction that notes the use. The event backbone registers
# what publishes it: this layer knows no events.
listeners: list[Listener] = []


def note_use(caller: MachineKeyPrincipal) -> None:
    """At most once a minute for each key and network. An IPv6 address counts as its /64."""
    network = network_of(caller.address) if caller.address else ""
    if not use_is_due(key_id=caller.key_id, network=network):
        return
    now = timezone.now()
    with transaction.atomic():
        if use_write(key_id=caller.key_id, network=network, now=now):
            for tell in listeners:
                tell(caller.user_id, caller.key_id, now)
    use_is_written(key_id=caller.key_id, network=network)
