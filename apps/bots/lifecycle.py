"""The state of a bot, from its last report and its pending command. Pure functions."""

from dataclasses import dataclass
from datetime import datetime

from apps.bots.models import BotState, CommandKind
from apps.events.commands.executions import State


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """The latest start, pause, stop or flatten. `execution` is its execution's state; None before delivery."""

    kind: CommandKind
    expires_at: datetime
    execution: str | None = None
    finished_at: datetime | None = None

    def is_in_progress(self, now: datetime) -> bool:
        """Whether a worker executes it, or it still waits for delivery."""
        if self.execution is None:
            return now < self.expires_at
        return self.execution in (State.RUNNING, State.RETRYING)


def state_of(*, reported: BotState, since: datetime | None, pending: PendingCommand | None, now: datetime) -> BotState:
    """The current state, for display and for decisions. `since` is when the reported state began.

    A command that a worker has completed counts at once: its event may not have arrived yet. A command that failed, was
    dropped or expired changes nothing.
    """
    if pending is None:
        return reported
    transition = BotState.STARTING if pending.kind == CommandKind.START else BotState.STOPPING
    if pending.is_in_progress(now):
        return transition
    if pending.execution != State.DONE or pending.finished_at is None:
        return reported
    has_newer_report = since is not None and since >= pending.finished_at
    if has_newer_report:
        return reported
    if pending.kind == CommandKind.START:
        return BotState.RUNNING
    # The run is still ending. It reports its end with an event.
    return BotState.STOPPING if reported == BotState.RUNNING else reported
