"""Probes of a running installation: they go the way of every message, and change nothing where they arrive."""

from datetime import datetime
from uuid import UUID

from apps.messages.base import Command, Event
from apps.messages.topics import AUDIT_EVENTS


class RunProbe(Command, name="platform.probe", aggregate="probe", key="probe_id", journal=AUDIT_EVENTS.name):
    """Asks a worker to do nothing, so that it is seen that it would do something."""

    command_id: UUID
    probe_id: UUID
    requested_at: datetime
    expires_at: datetime


class PlatformProbed(Event, name="platform.probed", topic=AUDIT_EVENTS.name, aggregate="probe", key="probe_id"):
    """Somebody verifies the installation: a consumer is to note that this event has arrived."""

    probe_id: UUID
    probed_at: datetime
