"""Expected failures of running bots and placing orders."""

from typing import Any

from apps.core.errors import Conflict, PlatformError, Refused
from apps.trading.limits import RiskRejection


class BotNotRunning(Conflict):
    code = "bot_not_running"


class StrategyHolds(Refused):
    """The strategy was asked to trade now and has no order to place."""

    code = "strategy_holds"


class WrongMode(Refused):
    """The bot has one mode and its key the other: a paper bot never reaches a live exchange."""

    code = "wrong_mode"


class WrongAccount(Refused):
    """An order, a run or coins of one exchange account met the client or the bot of another.

    Nothing was asked: the answer of one account proves nothing about the orders of another.
    """

    code = "wrong_account"


class ForeignOrders(Refused):
    """Orders with the bot's mark are open that this database does not know and did not lose in a restore.

    Another installation trades with a copy of the database and the same key. `details["orders"]` has the orders.
    """

    code = "foreign_orders_with_our_mark"


class TradeRefused(Refused):
    """A risk rule rejected a trade that was asked for; `details["rule"]` names the rule."""

    code = "trade_refused"


class OrderRejected(Refused):
    """The exchange refused an order that was asked for."""

    code = "order_rejected"


class FlattenIncomplete(PlatformError):
    """The position is not wholly sold yet; `details["rule"]` says why."""

    code = "flatten_incomplete"
    http_status = 409
    retryable = True


class FlattenRefused(Refused):
    """The exchange has refused the sale of the position, and would refuse it again; `details["rule"]` says why."""

    code = "flatten_refused"


class BotBusy(PlatformError):
    """Another worker holds the bot's run. A retry helps."""

    code = "bot_busy"
    http_status = 409
    retryable = True


class HistoryNotReconciled(PlatformError):
    """The database was restored, and the bots' orders are not compared with the exchange yet. A retry helps."""

    code = "history_not_reconciled"
    http_status = 503
    retryable = True


class LeaseLost(PlatformError):
    """Another worker took over the run; this one must write nothing more."""

    code = "lease_lost"
    http_status = 409
    retryable = True


class RunNotTrading(Conflict):
    """A stop was requested in the meantime; the order must not be sent."""

    code = "run_not_trading"


class OrderBarred(RunNotTrading):
    """A halt, a stop, a cap or the live switch bars the order, as `rejection` says. It must not be sent."""

    code = "order_barred"

    def __init__(self, rejection: RiskRejection, **details: Any) -> None:
        super().__init__(rejection.message, rule=rejection.code, **details)
        self.rejection = rejection


class UnexpectedFailure(PlatformError):
    """An unexpected exception; the log has its details."""

    code = "internal_error"
    http_status = 500
    retryable = True


class ContradictoryEvidence(PlatformError):
    """What the exchange reports of an order contradicts what is stored."""

    code = "contradictory_evidence"
    http_status = 500


class UnbookableFill(ContradictoryEvidence):
    """The database refuses a trade that the exchange reports: it contradicts what is booked."""

    code = "constraint_violated"


class IllegalTransition(PlatformError):
    """An order's state was to change in a way that models/order_states.py does not allow."""

    code = "illegal_transition"
    http_status = 500
