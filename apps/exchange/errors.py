"""Expected failures of talking to an exchange."""

from typing import Any

from apps.core.errors import Conflict, DependencyUnavailable, NotFound, PlatformError, Refused, TooManyRequests


class UnsafeExchangeUrl(PlatformError):
    """The configured address could mix up paper and live, or is not one that the SDK keeps to."""

    code = "unsafe_exchange_url"
    http_status = 500


class ExchangeCallInTransaction(PlatformError):
    """An exchange may take half a minute: no database transaction may wait for it."""

    code = "exchange_call_in_transaction"
    http_status = 500


class ExchangeUnavailable(DependencyUnavailable):
    """The exchange does not answer, or not with an answer. Asking again helps. Never raised for a placement."""

    code = "exchange_unavailable"


class NotSent(DependencyUnavailable):
    """The request provably never left: nothing has happened at the exchange. Trying again is safe."""

    code = "exchange_request_not_sent"


class ExchangeRateLimited(TooManyRequests):
    code = "exchange_rate_limited"


class ExchangeRefused(Refused):
    """The exchange understood and refused. `details["exchange_error"]` has its own words."""

    code = "exchange_refused"

    def __init__(self, message: str, *, exchange_error: str = "", **details: Any) -> None:
        super().__init__(message, exchange_error=exchange_error, **details)
        self.exchange_error = exchange_error


class KeyInvalid(ExchangeRefused):
    """The exchange does not know the key, or the secret is not the key's. Stop using it: repeats lead to a lockout."""

    code = "exchange_key_invalid"


class KeyLocked(ExchangeRefused):
    """The exchange has locked the key or the account for a while. Stop using it."""

    code = "exchange_key_locked"


class NonceRefused(ExchangeRefused):
    """Another program uses the key, or did: with a nonce above ours, the key is of no use here any more."""

    code = "exchange_nonce_refused"


class KeyLacksPermission(ExchangeRefused):
    code = "exchange_permission_denied"


class UnknownPair(NotFound):
    code = "unknown_pair"


class OutcomeUnknown(PlatformError):
    """An order may or may not have been placed. Never send it again: look for its `client_order_id` at the exchange.

    `is_alarming` says that the exchange answered in words that are not known here, and a person should look.
    """

    code = "outcome_unknown"
    http_status = 502

    def __init__(self, message: str, *, client_order_id: str, is_alarming: bool = False) -> None:
        super().__init__(message, client_order_id=client_order_id)
        self.client_order_id = client_order_id
        self.is_alarming = is_alarming


class HistoryTooLong(PlatformError):
    """More pages than are read at once: ask for a later start. Nothing is left out in silence."""

    code = "history_too_long"
    http_status = 422


class OrderNotPlaceable(Refused):
    """The order breaks a rule of its pair; no exchange needs to be asked. `details["rule"]` names the rule."""

    code = "order_not_placeable"

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message, rule=rule)
        self.rule = rule


class AccountNotOpened(Conflict):
    """The paper exchange refused to open an account."""

    code = "paper_account_not_opened"
