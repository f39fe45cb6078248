"""Expected failures of onboarding."""

from apps.core.errors import Conflict, NotFound, Refused


class NoSuchStep(NotFound):
    code = "no_such_step"


class StepOutOfOrder(Conflict):
    """An earlier step has not been completed."""

    code = "step_out_of_order"


class OnboardingAlreadyCompleted(Conflict):
    """The onboarding is complete; its answers are immutable."""

    code = "onboarding_already_completed"

    def __init__(self) -> None:
        super().__init__("Your onboarding is complete; its answers cannot be changed.")


class TermsOutdated(Refused):
    code = "terms_outdated"


class NotConnected(Refused):
    """The event store has no connected key with this id of this user."""

    code = "exchange_key_not_connected"

    def __init__(self) -> None:
        super().__init__("No key of yours with this id is connected. Connect one with POST /api/v1/kraken/connect.")


class NotStarted(Refused):
    """The event store has no start of a bot with this id by this user."""

    code = "bot_not_started"

    def __init__(self) -> None:
        super().__init__("No bot of yours with this id was ever started. Start one with POST /api/v1/bot/{id}/start.")
