"""Expected failures of defining and commanding bots."""

from apps.core.errors import Conflict, NotFound, Refused


class BotNotFound(NotFound):
    code = "bot_not_found"


class CommandNotFound(NotFound):
    code = "command_not_found"


class BotAlreadyRunning(Conflict):
    """It runs, or a start is under way."""

    code = "bot_already_running"


class BotNotRunning(Conflict):
    """There is nothing to stop, or nothing that could trade."""

    code = "bot_not_running"


class BotStopping(Conflict):
    """A stop is under way; wait for it."""

    code = "bot_stopping"


class BotInUse(Conflict):
    """The bot runs, or orders of it are open on the exchange."""

    code = "bot_in_use"


class BotChangedMeanwhile(Conflict):
    """The definition is no longer the version that the change was made for."""

    code = "bot_changed_meanwhile"


class FieldIsImmutable(Refused):
    code = "field_is_immutable"


class UnknownPair(Refused):
    code = "unknown_pair"


class UnknownCredential(Refused):
    """There is no such exchange key, or it is not the caller's."""

    code = "unknown_credential"


class CredentialNotActive(Refused):
    code = "credential_not_active"


class WrongMode(Refused):
    """A bot of one mode and a key of the other: a paper bot never reaches a live exchange."""

    code = "wrong_mode"


class BudgetTooSmall(Refused):
    """The budget does not pay for the smallest order of the pair, or for what the strategy spends at once."""

    code = "budget_too_small"


class AmountTooLarge(Refused):
    """A trade that was asked for would spend more than the bot's budget."""

    code = "amount_too_large"
