"""The state of a bot: what it last reported, and what is under way. Pure."""

from dataclasses import dataclass
from datetime import datetime

from apps.bots.models import BotState, CommandKind
from apps.events.commands.executions import State


@dataclass(frozen=True, slots=True)
class Asked:
    """The latest start, pause, stop or flatten, and how far the workers got with it (None: not delivered yet)."""

    kind: CommandKind
    expires_at: datetime
    execution: str | None = None
    finished_at: datetime | None = None

    def is_under_way(self, now: datetime) -> bool:
        """Whether a worker has it, or is still to get it."""
        if self.execution is None:
            return now < self.expires_at
        return self.execution in (State.RUNNING, State.RETRYING)


def state_of(*, reported: BotState, since: datetime | None, asked: Asked | None, now: datetime) -> BotState:
    """The state to show and to decide by. `since` is when the reported state began.

    A command that a worker has done counts at once: its news may still be on the way. One that failed, was dropped or
    ran out of time changed nothing.
    """
    if asked is None:
        return reported
    transition = BotState.STARTING if asked.kind == CommandKind.START else BotState.STOPPING
    if asked.is_under_way(now):
        return transition
    if asked.execution != State.DONE or asked.finished_at is None:
        return reported
    has_newer_report = since is not None and since >= asked.finished_at
    if has_newer_report:
        return reported
    if asked.kind == CommandKind.START:
        return BotState.RUNNING
    # A run winds down in its own time, and reports the end of it.
    return BotState.STOPPING if reported == BotState.RUNNING else reported
