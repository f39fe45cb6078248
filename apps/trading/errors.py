"""Expected failures of running bots and placing orders."""

from apps.core.errors import Conflict, PlatformError, Refused


class BotNotRunning(Conflict):
    code = "bot_not_running"


class StrategyHolds(Refused):
    """The strategy was asked to trade now and saw nothing to trade."""

    code = "strategy_holds"


class WrongMode(Refused):
    """A bot of one mode and a key of the other: a paper bot never reaches a live exchange."""

    code = "wrong_mode"


class TradeRefused(Refused):
    """A rule held back a trade that was asked for; `details` has the rule's own code."""

    code = "trade_refused"


class OrderRejected(Refused):
    """The exchange refused an order that was asked for."""

    code = "order_rejected"


class FlattenIncomplete(PlatformError):
    """The position could not be sold, or not all of it, yet; `details["rule"]` says why."""

    code = "flatten_incomplete"
    http_status = 409
    retryable = True


class BotBusy(PlatformError):
    """Another worker is at the bot. Trying again helps."""

    code = "bot_busy"
    http_status = 409
    retryable = True


class HistoryNotReconciled(PlatformError):
    """The database was restored, and the bots' orders were not compared with the exchange yet. Trying again helps."""

    code = "history_not_reconciled"
    http_status = 503
    retryable = True


class LeaseLost(PlatformError):
    """Another worker took over: whatever this one was about to write is not its to write any more."""

    code = "lease_lost"
    http_status = 409
    retryable = True


class RunNotTrading(Conflict):
    """The run was told to stop in the meantime: what was about to be sent is not wanted any more."""

    code = "run_not_trading"


class UnexpectedFailure(PlatformError):
    """Something failed in a way that nobody foresaw. The log has the details."""

    code = "internal_error"
    http_status = 500
    retryable = True


class ContradictoryEvidence(PlatformError):
    """The exchange tells something of an order that cannot be true together with what is stored."""

    code = "contradictory_evidence"
    http_status = 500


class IllegalTransition(PlatformError):
    """An order's state was to change in a way that models/order_states.py does not allow."""

    code = "illegal_transition"
    http_status = 500
