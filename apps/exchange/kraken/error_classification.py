"""Classification of Kraken's answers. Source of the error names: Kraken's guide "Spot errors" and recorded answers.

Kraken refuses with HTTP status 200 and ``{"error": ["E<category>:<text>[:<more>]"]}``. Any other status comes from the
edge in front of it, and proves nothing about what happened behind.
"""

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests

from apps.core.errors import PlatformError
from apps.exchange.errors import (
    ExchangeRateLimited,
    ExchangeRefused,
    ExchangeUnavailable,
    KeyInvalid,
    KeyLacksPermission,
    KeyLocked,
    NonceRefused,
    OutcomeUnknown,
    UnknownPair,
)
from apps.exchange.types import Rejected, RejectionKind

Kind = RejectionKind

# Kraken's counters decay by 0.33 (REST) to 1 (orders) a second in the lowest tier.
BACK_OFF_SECONDS = 10
LOCKOUT_SECONDS = 900
MAX_THROTTLE_SECONDS = 300

_INVALID_ARGUMENT = "EGeneral:Invalid arguments"


class UnreadableAnswer(Exception):
    """Not HTTP 200 with Kraken's envelope. The text is short and holds nothing secret."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Errors (``E…``) and warnings (``W…``) in Kraken's own words. `result` may be present along with warnings."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    result: Any


def read_envelope(response: requests.Response) -> Envelope:
    """Raises UnreadableAnswer."""
    if response.status_code != 200:
        raise UnreadableAnswer(f"HTTP status {response.status_code}")
    try:
        body = json.loads(response.content, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise UnreadableAnswer("a body that is not JSON") from None
    messages = body.get("error", []) if isinstance(body, dict) else None
    if not isinstance(messages, list) or not all(isinstance(message, str) for message in messages):
        raise UnreadableAnswer("a body that is not Kraken's envelope")
    return Envelope(
        errors=tuple(message for message in messages if not message.startswith("W")),
        warnings=tuple(message for message in messages if message.startswith("W")),
        result=body.get("result"),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """An error that Kraken documents. `kind` None: a placement with this answer has an unknown outcome."""

    pattern: re.Pattern[str]
    kind: Kind | None
    code: str
    message: str
    as_read: Callable[[str, str], PlatformError]


def _refused(text: str, error: str) -> PlatformError:
    return ExchangeRefused(text, exchange_error=error)


def _unavailable(text: str, error: str) -> PlatformError:
    return ExchangeUnavailable(text, exchange_error=error)


def _limited(text: str, error: str) -> PlatformError:
    return ExchangeRateLimited(text, retry_after_seconds=_wait_seconds(error), exchange_error=error)


def _key_invalid(text: str, error: str) -> PlatformError:
    return KeyInvalid(text, exchange_error=error)


def _key_locked(text: str, error: str) -> PlatformError:
    return KeyLocked(text, exchange_error=error, retry_after_seconds=LOCKOUT_SECONDS)


def _not_now(text: str, error: str) -> PlatformError:
    """Like `_unavailable`, but not repeated at once: it passes in minutes, not in seconds."""
    return ExchangeUnavailable(text, exchange_error=error)


def _nonce_refused(text: str, error: str) -> PlatformError:
    return NonceRefused(text, exchange_error=error)


def _no_permission(text: str, error: str) -> PlatformError:
    return KeyLacksPermission(text, exchange_error=error)


def _unknown_pair(text: str, error: str) -> PlatformError:
    return UnknownPair(text, exchange_error=error)


def _known(
    pattern: str,
    kind: Kind | None,
    code: str,
    message: str,
    as_read: Callable[[str, str], PlatformError] = _refused,
) -> _Known:
    return _Known(re.compile(pattern), kind, code, message, as_read)


# The first match counts. An error that is not in the table leaves a placement unknown, and raises an alert.
_KNOWN = (
    # Kraken has not published the error for a client order id that an open order has. The order is looked up.
    _known(r"E\w+:.*cl_ord_id", None, "client_order_id_in_use", "The order's own id is in use."),
    _known(r"EAPI:Invalid key", Kind.KEY_INVALID, "key_invalid", "The exchange does not know this key.", _key_invalid),
    _known(
        r"EAPI:Invalid signature",
        Kind.KEY_INVALID,
        "key_invalid",
        "The secret does not belong to the key.",
        _key_invalid,
    ),
    # Not accepted, unless the network delivered the request twice and this is the second answer.
    _known(
        r"EAPI:Invalid nonce",
        None,
        "invalid_nonce",
        "The exchange has seen later calls of this key. A key for this platform must be used by nothing else.",
        _nonce_refused,
    ),
    _known(
        r"EGeneral:Temporary lockout",
        Kind.KEY_LOCKED,
        "key_locked",
        "The exchange has locked the key for about 15 minutes after too many failed calls.",
        _key_locked,
    ),
    _known(
        r"EGeneral:Permission denied|EAccount:Invalid permissions",
        Kind.PERMISSION,
        "permission_denied",
        "The key or the account has no right to do this.",
        _no_permission,
    ),
    _known(
        r"EAPI:Rate limit exceeded|EOrder:Rate limit exceeded|EOrder:Domain rate limit exceeded",
        Kind.BACK_OFF,
        "rate_limited",
        "The exchange's limit of calls is reached. Wait a little.",
        _limited,
    ),
    # Observed, and not in Kraken's guide: no proof that a placement was not taken.
    _known(
        r"EGeneral:Too many requests",
        None,
        "rate_limited",
        "The exchange's limit of calls is reached. Wait a little.",
        _limited,
    ),
    _known(r"EService: ?Throttled", Kind.BACK_OFF, "throttled", "The exchange asks for fewer calls at once.", _limited),
    _known(
        r"EAuth:Rate limit exceeded",
        Kind.ACCOUNT_LIMIT,
        "account_limited",
        "The exchange limits this account.",
        _limited,
    ),
    _known(
        r"EAuth:|EBM:limit exceeded:CAL",
        Kind.ACCOUNT_LIMIT,
        "account_limited",
        "The exchange limits this account.",
    ),
    _known(
        r"EService:Market in \w+ mode",
        Kind.MARKET_CLOSED,
        "market_closed",
        "The market does not take such orders now.",
        _not_now,
    ),
    _known(
        r"EService:(?:Unavailable|Busy|Timeout|Deadline elapsed)|EGeneral:Internal error",
        None,
        "exchange_failed",
        "The exchange cannot answer now.",
        _unavailable,
    ),
    _known(
        r"EQuery:Unknown asset pair", Kind.FINAL, "unknown_pair", "The exchange does not list this pair.", _unknown_pair
    ),
    # Kraken has not published its words for a deadline outside its window. The order was late, or the clocks differ.
    _known(
        r"EGeneral:Invalid arguments:deadline",
        Kind.BACK_OFF,
        "deadline_refused",
        "The order reached the exchange outside its time window.",
    ),
    # Kraken's other words for the order minimum, observed since 2024.
    _known(
        r"EOrder:Order minimum not met|EGeneral:Invalid arguments:volume(?: minimum not met)?$",
        Kind.FINAL,
        "order_minimum",
        "The volume is below the pair's minimum.",
    ),
    _known(_INVALID_ARGUMENT, Kind.BUG, "invalid_arguments", "The exchange does not understand the request."),
    _known(r"EOrder:Insufficient funds", Kind.FINAL, "insufficient_funds", "The balance does not cover the order."),
    _known(
        r"EOrder:Cost minimum not met", Kind.FINAL, "cost_minimum", "The order is worth less than the pair's minimum."
    ),
    _known(r"EOrder:Tick size check failed", Kind.FINAL, "tick_size", "The price is not on the pair's price grid."),
    _known(r"EOrder:Invalid price", Kind.FINAL, "invalid_price", "The price is not valid."),
    _known(
        r"EOrder:(?:Scheduled )?[Oo]rders limit exceeded",
        Kind.FINAL,
        "too_many_orders",
        "There are too many open orders on the pair.",
    ),
    _known(
        r"EOrder:Insufficient liquidity", Kind.FINAL, "no_liquidity", "The market does not offer enough for the order."
    ),
    _known(
        r"EOrder:Trading agreement required",
        Kind.ACCOUNT_LIMIT,
        "agreement_required",
        "The exchange wants the account's owner to accept a trading agreement first.",
    ),
    _known(r"EOrder:Post only order", Kind.FINAL, "post_only", "The order would have traded at once."),
    _known(
        r"EOrder:(?:Reduce only|Unknown position|Insufficient (?:initial )?margin|Margin|Positions limit|Cannot open)",
        Kind.FINAL,
        "margin_refused",
        "The exchange refuses the order for the account's positions.",
    ),
)


def error_of_read(errors: tuple[str, ...]) -> PlatformError:
    """The exception for a call other than a placement that was answered with errors."""
    error = errors[0]
    known = _find(error)
    if known is None:
        return ExchangeRefused(f"The exchange refused: {error}", exchange_error=error)
    return known.as_read(_sentence(known, error), error)


def refusal_of_placement(errors: tuple[str, ...], *, cl_ord_id: str) -> Rejected:
    """The definitive refusal of an order. Raises OutcomeUnknown where one of the errors is no proof of it."""
    for error in errors:
        known = _find(error)
        if known is None:
            raise OutcomeUnknown(f"The exchange said: {error}", client_order_id=cl_ord_id, is_alarming=True)
        if known.kind is None:
            raise OutcomeUnknown(f"{known.message} ({error})", client_order_id=cl_ord_id)
    known = _find(errors[0])
    assert known is not None
    assert known.kind is not None
    waits = {Kind.BACK_OFF: _wait_seconds(errors[0]), Kind.KEY_LOCKED: LOCKOUT_SECONDS}
    sentence = _sentence(known, errors[0])
    return Rejected(known.code, sentence, known.kind, "; ".join(errors), waits.get(known.kind))


def is_passing(errors: tuple[str, ...]) -> bool:
    """Whether the same read may succeed a moment later."""
    known = _find(errors[0])
    return known is not None and known.as_read in (_unavailable, _nonce_refused)


def pause_asked_for(error: str) -> int | None:
    """Seconds for which a throttled key may make no call. None for any other error."""
    return _wait_seconds(error) if re.match(r"EService: ?Throttled", error) else None


def is_gone(errors: tuple[str, ...]) -> bool:
    """Whether Kraken says, in either of its two ways, that it has no such order."""
    return any(re.match(r"EOrder:(?:Unknown|Invalid) order", error) for error in errors)


def is_invalid_argument(error: str) -> bool:
    """Whether Kraken says that a parameter of the call is not valid."""
    return error.startswith(_INVALID_ARGUMENT)


def _sentence(known: _Known, error: str) -> str:
    """The error's sentence; it names the argument where Kraken does."""
    argument = error.removeprefix(f"{_INVALID_ARGUMENT}:")
    if known.kind is not Kind.BUG or argument == error:
        return known.message
    return f"{known.message.removesuffix('.')}: its {argument} is not valid."


def _find(error: str) -> _Known | None:
    return next((known for known in _KNOWN if known.pattern.match(error)), None)


def _wait_seconds(error: str) -> int:
    """Seconds to wait. ``EService: Throttled: <unix time>`` names the end; the rate counters name none."""
    until = re.search(r"(\d{9,11}(?:\.\d+)?)\s*\]?$", error)
    if until is None:
        return BACK_OFF_SECONDS
    return min(MAX_THROTTLE_SECONDS, max(1, math.ceil(float(until[1]) - time.time())))
