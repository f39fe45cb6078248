"""Expected failures of what may trade, and with how much."""

from apps.core.errors import Conflict, NotFound, PlatformError, Refused


class TradingHalted(Conflict):
    """A halt covers the bot; `details["halt"]` names it."""

    code = "halted"


class HaltNotFound(NotFound):
    code = "halt_not_found"


class HaltNotYours(Conflict):
    """Staff or the platform set the halt; its user cannot lift it."""

    code = "halt_not_yours"


class BudgetExceedsAccount(Refused):
    """The account does not cover the bot's budget beside the other bots'; `details` has the figures."""

    code = "budget_exceeds_account"


class AccountChangedMeanwhile(PlatformError):
    """The account's sub-ledger changed while the exchange was asked for its balances. A retry helps."""

    code = "account_changed_meanwhile"
    http_status = 409
    retryable = True
