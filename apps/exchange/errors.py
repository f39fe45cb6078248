"""Expected failures of calls to an exchange."""

from datetime import datetime
from typing import Any

from apps.core.errors import Conflict, DependencyUnavailable, NotFound, PlatformError, Refused, TooManyRequests


class UnsafeExchangeUrl(PlatformError):
    """The configured address could mix up paper and live, or the SDK would not use it as given."""

    code = "unsafe_exchange_url"
    http_status = 500


class LiveExchangeNotConfigured(Refused):
    """The process has no address of a live exchange: the installation is for paper trading."""

    code = "live_exchange_not_configured"


class ExchangeCallInTransaction(PlatformError):
    """A call to an exchange inside a database transaction. A call may take 30 s; no transaction may wait for it."""

    code = "exchange_call_in_transaction"
    http_status = 500


class ExchangeUnavailable(DependencyUnavailable):
    """The exchange does not answer, or its answer is unreadable. A retry helps. Never raised for a placement."""

    code = "exchange_unavailable"


class NotSent(DependencyUnavailable):
    """The request provably never left this machine: nothing happened at the exchange. A retry is safe."""

    code = "exchange_request_not_sent"


class OverBudget(NotSent):
    """The call was not made: it would exceed the exchange's limit of calls, or the exchange asked for a pause.

    A retry after `retry_after_seconds` may help.
    """

    code = "exchange_over_budget"
    http_status = 429

    def __init__(self, message: str, *, retry_after_seconds: int, **details: Any) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds, **details)
        self.retry_after_seconds = retry_after_seconds


class ExchangeRateLimited(TooManyRequests):
    code = "exchange_rate_limited"


class ExchangeRefused(Refused):
    """The exchange refused the call. `details["exchange_error"]` is its own text."""

    code = "exchange_refused"

    def __init__(self, message: str, *, exchange_error: str = "", **details: Any) -> None:
        super().__init__(message, exchange_error=exchange_error, **details)
        self.exchange_error = exchange_error


class KeyInvalid(ExchangeRefused):
    """Unknown API key or wrong secret. Stop using the key: repeats lead to a lockout."""

    code = "exchange_key_invalid"


class KeyLocked(ExchangeRefused):
    """The exchange has locked the key or the account temporarily. Stop using it."""

    code = "exchange_key_locked"


class KeySuspended(Conflict):
    """The exchange refused the key, or it failed a test. No call is made with it until it passes one."""

    code = "key_suspended"


class NonceRefused(ExchangeRefused):
    """The nonce is not above the key's last one: another program uses the key, or did."""

    code = "exchange_nonce_refused"


class KeyLacksPermission(ExchangeRefused):
    code = "exchange_permission_denied"


class UnknownPair(NotFound):
    code = "unknown_pair"


class IntervalNotOffered(Refused):
    """The market has no candles of this interval for the pair."""

    code = "interval_not_offered"

    def __init__(self, *, pair: str, interval_minutes: int) -> None:
        super().__init__(
            f"There are no candles of {interval_minutes} minutes for {pair}.",
            pair=pair,
            interval_minutes=interval_minutes,
        )


class OutcomeUnknown(PlatformError):
    """An order may or may not have been placed. Never send it again; look for its `client_order_id` on the exchange.

    `deadline`: the exchange accepts the order until then and no longer; None where it is not known what was sent.
    `is_alarming`: the exchange answered with an error that is not classified here, and an operator should look.
    """

    code = "outcome_unknown"
    http_status = 502

    def __init__(
        self, message: str, *, client_order_id: str, deadline: datetime | None = None, is_alarming: bool = False
    ) -> None:
        super().__init__(message, client_order_id=client_order_id)
        self.client_order_id = client_order_id
        self.deadline = deadline
        self.is_alarming = is_alarming


class HistoryTooLong(PlatformError):
    """The history has more pages than are read at once: ask for a later start. Nothing is left out silently."""

    code = "history_too_long"
    http_status = 422


class OrderNotPlaceable(Refused):
    """The order breaks a rule of its pair, found without a call. `details["rule"]` names the rule."""

    code = "order_not_placeable"

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message, rule=rule)
        self.rule = rule


class AccountNotOpened(Conflict):
    """The paper exchange refused to open an account."""

    code = "paper_account_not_opened"
