"""Expected failures of onboarding."""

from apps.core.errors import Conflict, NotFound, Refused


class NoSuchStep(NotFound):
    code = "no_such_step"


class StepOutOfOrder(Conflict):
    """An earlier step has not been done yet."""

    code = "step_out_of_order"


class OnboardingAlreadyCompleted(Conflict):
    """What was said on the way stays as it was said."""

    code = "onboarding_already_completed"

    def __init__(self) -> None:
        super().__init__("Your onboarding is complete; its answers cannot be changed.")


class TermsOutdated(Refused):
    code = "terms_outdated"


class NotConnected(Refused):
    """The platform's log knows of no such key of this user."""

    code = "exchange_key_not_connected"

    def __init__(self) -> None:
        super().__init__("No key of yours with this id is connected. Connect one with POST /api/v1/kraken/connect.")


class NotStarted(Refused):
    """The platform's log knows of no start of such a bot by this user."""

    code = "bot_not_started"

    def __init__(self) -> None:
        super().__init__("No bot of yours with this id was ever started. Start one with POST /api/v1/bot/{id}/start.")
