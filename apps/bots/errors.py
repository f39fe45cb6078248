"""Expected failures of defining and commanding bots."""

from apps.core.errors import Conflict, NotFound, Refused, TooManyRequests


class BotNotFound(NotFound):
    code = "bot_not_found"


class CommandNotFound(NotFound):
    code = "command_not_found"


class OrderNotFound(NotFound):
    code = "order_not_found"


class TooManyBots(Conflict):
    """The user has as many bots as the platform allows. `details` has `bots` and `limit`."""

    code = "too_many_bots"


class BotAlreadyRunning(Conflict):
    """The bot is running, or a start is pending."""

    code = "bot_already_running"


class BotNotRunning(Conflict):
    """The bot has no run to stop or to trade with."""

    code = "bot_not_running"


class BotStopping(Conflict):
    """A stop is pending. Wait until it is done."""

    code = "bot_stopping"


class BotInUse(Conflict):
    """The bot is running, or has open orders on the exchange."""

    code = "bot_in_use"


class BotHoldsPosition(Conflict):
    """The bot holds coins. Flatten it first, or give the coins up to the account with `abandon=true`."""

    code = "bot_holds_position"


class BotReportsPending(Conflict):
    """Events of the bot are stored that the read models do not have yet: what it holds is not known. A retry helps."""

    code = "bot_reports_pending"
    retryable = True


class BotChangedMeanwhile(Conflict):
    """Optimistic locking: the definition has another version than the change expects."""

    code = "bot_changed_meanwhile"


class UnknownPair(Refused):
    code = "unknown_pair"


class UnknownCredential(Refused):
    """The exchange key does not exist, or is another user's."""

    code = "unknown_credential"


class CredentialNotActive(Refused):
    code = "credential_not_active"


class KeyLacksRights(Refused):
    """The exchange key lacks rights that bots need; `details["rights"]` names them."""

    code = "key_lacks_rights"


class WrongMode(Refused):
    """The modes of bot and key differ. A paper bot must never reach a live exchange."""

    code = "wrong_mode"


class BudgetTooSmall(Refused):
    """The budget is below the pair's minimum order, or below the strategy's amount per order."""

    code = "budget_too_small"


class AmountTooLarge(Refused):
    """A requested trade would spend more than the bot's budget."""

    code = "amount_too_large"


class InvalidLimits(Refused):
    """The limits of a bot's orders are not valid; `details["limits"]` says which and why."""

    code = "invalid_limits"


class TooManyStreams(TooManyRequests):
    """The user has as many open streams as one may have. `details.limit` says how many."""

    code = "too_many_streams"
