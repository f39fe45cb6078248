"""Sends calls and reads envelopes. Reads may be retried; a call that changes something is sent once."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import structlog
from django.db import transaction
from urllib3.exceptions import NewConnectionError

from apps.core.errors import PlatformError
from apps.core.metrics import WORKERS, counter, histogram
from apps.core.terms import Mode
from apps.core.tracing import Kind, span
from apps.exchange.budget import Budget
from apps.exchange.errors import (
    ExchangeRateLimited,
    ExchangeUnavailable,
    KeyInvalid,
    KeyLocked,
    KeySuspended,
    NotSent,
    OutcomeUnknown,
)
from apps.exchange.kraken.client import CallPolicy, KrakenClient
from apps.exchange.kraken.error_classification import (
    Envelope,
    UnreadableAnswer,
    error_of_read,
    is_passing,
    pause_asked_for,
    read_envelope,
)
from apps.exchange.limits import Lane, lane_of
from apps.exchange.nonce import key_suspend, signing_turn

log = structlog.get_logger(__name__)

CALLERS = (*WORKERS, "reconciler", "scheduler", "kraken")
CALLS = counter(
    "exchange_calls_total", "Calls to exchanges by method and outcome.", ["mode", "method", "outcome"],
    processes=CALLERS,
)  # fmt: skip
SECONDS = histogram(
    "exchange_call_duration_seconds", "A call to an exchange with its wait for the key's turn, retries apart.",
    ["mode", "method"], processes=CALLERS,
)  # fmt: skip

# The calls that may be retried: an allow-list, so that a method added later is not retried by accident. Every call on
# it is a read.
REPEATABLE = frozenset(
    {
        "Time",
        "SystemStatus",
        "AssetPairs",
        "Ticker",
        "OHLC",
        "Depth",
        "BalanceEx",
        "OpenOrders",
        "ClosedOrders",
        "QueryOrders",
        "QueryTrades",
        "TradesHistory",
        "TradeVolume",
        "GetApiKeyInfo",
    }
)
# Called in the transaction that suspends a key which the exchange refused.
OnRefusedKey = Callable[[PlatformError], None]

# A call keeps its key from all others: a cancel must not wait long for a read.
LONGEST_READ_SECONDS = 5.0
PAUSES_SECONDS = (0.2, 0.8, 2.0)

# Kraken takes deadlines from 2 to 60 seconds ahead (REST, AddOrder). A placement gets LIFE from the moment of its turn,
# and LEAST_LEFT of it must be left when it leaves: a second for the way and for the clocks.
LIFE = timedelta(seconds=5)
LEAST_LEFT = timedelta(seconds=3)


class Transport:
    """Calls to one address with at most one key."""

    def __init__(
        self,
        *,
        mode: Mode,
        url: str,
        api_key: str,
        api_secret: str,
        policy: CallPolicy,
        budget: Budget,
        on_refused_key: OnRefusedKey | None = None,
        is_test: bool = False,
    ) -> None:
        self._mode = mode
        self._api_key = api_key
        self._on_refused_key = on_refused_key
        self._is_test = is_test
        self._attempts = policy.attempts
        self._budget = budget
        self._client = KrakenClient(
            url=url, api_key=api_key, api_secret=api_secret, policy=policy, is_internal=mode is Mode.PAPER
        )

    def public(self, method: str, **params: str) -> Any:
        """The result of a public call. Raises what the port documents for reads."""
        return self._repeated(method, lambda: self._read(self._client.get(f"/0/public/{method}", params)))

    def private(self, method: str, **params: str) -> Any:
        """The result of a signed call that is not a placement. Raises what the port documents for reads."""
        return self._signed(method, params)

    def cancel(self, method: str, *, of_pair: str, placed_at: datetime | None, **params: str) -> Any:
        """The result of a cancel. `of_pair` and `placed_at` are those of the order. Raises what `private` raises."""
        return self._signed(method, params, pair=of_pair, placed_at=placed_at)

    def _signed(self, method: str, params: dict[str, str], *, pair: str = "", placed_at: datetime | None = None) -> Any:
        def send() -> Envelope:
            is_urgent = lane_of(method) is Lane.CANCEL
            with signing_turn(self._api_key, is_test=self._is_test, is_urgent=is_urgent) as nonce:
                self._budget.charge(method, pair=pair, placed_at=placed_at.timestamp() if placed_at else None)
                envelope = self._read(
                    self._client.post_signed(
                        f"/0/private/{method}", params, nonce=nonce, read_seconds=LONGEST_READ_SECONDS
                    )
                )
                self._suspend_if_refused(envelope)
                return envelope

        return self._repeated(method, send, pair=pair)

    def place(
        self, method: str, *, cl_ord_id: str, latest_deadline: datetime, **params: str
    ) -> tuple[Envelope, datetime]:
        """Sends a placement once. Returns the answer and the deadline that the exchange was given.

        That is LIFE after the key's turn has come, and never later than `latest_deadline`. Raises NotSent where the
        request certainly did not leave, also where it could not leave with LEAST_LEFT, else OutcomeUnknown.
        """
        with self._timed(method), self._placement_turn(method) as nonce:
            now = utc_now()
            deadline = min(now + LIFE, latest_deadline)
            slack = deadline - now - LEAST_LEFT
            if slack < timedelta(0):
                self._count(method, "not_sent")
                raise NotSent("The key was busy until the order was too old; nothing was sent.")
            self._budget.charge(method, pair=params.get("pair", ""))
            params |= {"cl_ord_id": cl_ord_id, "deadline": wire_time(deadline)}
            try:
                response = self._client.post_placement(
                    f"/0/private/{method}", params, nonce=nonce, leave_within=slack.total_seconds()
                )
            except requests.RequestException as error:
                if never_left(error):
                    self._count(method, "not_sent")
                    raise NotSent("The exchange could not be reached; nothing was sent.") from error
                raise self._outcome_unknown(
                    method, cl_ord_id, deadline, f"No answer came ({type(error).__name__})."
                ) from error
            except Exception as error:
                # Any other exception, such as a worker's time limit: the request may have been sent.
                raise self._outcome_unknown(
                    method, cl_ord_id, deadline, f"It was interrupted ({type(error).__name__})."
                ) from error
            self._honour_pause(response)
            try:
                envelope = read_envelope(response)
            except UnreadableAnswer as unreadable:
                raise self._outcome_unknown(method, cl_ord_id, deadline, f"The answer was {unreadable}.") from None
            self._suspend_if_refused(envelope)
        self._count(method, "refused" if envelope.errors else "ok")
        self._learn(envelope.errors, pair=params.get("pair", ""))
        return envelope, deadline

    @contextmanager
    def _placement_turn(self, method: str) -> Iterator[int]:
        """A turn for a placement. Raises NotSent, for a suspended key too."""
        with ExitStack() as turn:
            try:
                nonce = turn.enter_context(signing_turn(self._api_key))
            except (KeySuspended, KeyLocked) as error:
                self._count(method, "not_sent")
                raise NotSent(f"{error.message} Nothing was sent.") from error
            yield nonce

    def _repeated(self, method: str, send: Callable[[], Envelope], *, pair: str = "") -> Any:
        attempts = self._attempts if method in REPEATABLE else 1
        for attempt in range(attempts):
            is_last = attempt == attempts - 1
            try:
                with self._timed(method):
                    envelope = send()
            except (requests.RequestException, UnreadableAnswer) as error:
                self._count(method, "unavailable")
                if is_last:
                    raise ExchangeUnavailable(f"The exchange does not answer ({_short(error)}).") from error
            else:
                self._count(method, "refused" if envelope.errors else "ok")
                if not envelope.errors:
                    return envelope.result
                self._learn(envelope.errors, pair=pair)
                if is_last or not is_passing(envelope.errors):
                    raise error_of_read(envelope.errors)
            time.sleep(PAUSES_SECONDS[min(attempt, len(PAUSES_SECONDS) - 1)])
        raise AssertionError("unreachable")

    def _suspend_if_refused(self, envelope: Envelope) -> None:
        """Suspends the key, in the turn of the call that was refused: no other caller makes one after it."""
        error = error_of_read(envelope.errors) if envelope.errors else None
        if not isinstance(error, KeyInvalid | KeyLocked):
            return
        try:
            self.suspend_key(error)
        except Exception:
            # The answer itself must reach the caller; the next call is refused as well.
            log.exception("exchange_key_not_suspended", mode=self._mode, code=error.code)

    def suspend_key(self, error: PlatformError) -> None:
        """No process makes a call with the key any more: while it is locked, or until it passes a test."""
        log.error("exchange_key_refused", mode=self._mode, code=error.code)
        now = utc_now()
        seconds = error.details.get("retry_after_seconds")
        until = now + timedelta(seconds=seconds) if seconds else None
        with transaction.atomic():
            is_new = key_suspend(self._api_key, code=error.code, now=now, until=until)
            if is_new and self._on_refused_key is not None:
                self._on_refused_key(error)

    def _learn(self, errors: tuple[str, ...], *, pair: str) -> None:
        """Takes over what the exchange says of its own counters."""
        if not errors or not self._api_key:
            return
        if (seconds := pause_asked_for(errors[0])) is not None:
            self._budget.block(seconds)
        elif errors[0].startswith("EOrder:Rate limit exceeded") and pair:
            self._budget.note_limited(pair=pair)
        elif errors[0].startswith("EAPI:Rate limit exceeded"):
            self._budget.note_limited()

    def _read(self, response: requests.Response) -> Envelope:
        """Raises ExchangeRateLimited where the exchange asks for a pause, UnreadableAnswer."""
        if (seconds := self._honour_pause(response)) is not None:
            raise ExchangeRateLimited("The exchange asks for a pause.", retry_after_seconds=seconds)
        return read_envelope(response)

    def _honour_pause(self, response: requests.Response) -> int | None:
        """The seconds of a Retry-After header, during which the key makes no call."""
        seconds = retry_after(response)
        if seconds is not None and self._api_key:
            self._budget.block(seconds)
        return seconds

    def _outcome_unknown(self, method: str, cl_ord_id: str, deadline: datetime, why: str) -> OutcomeUnknown:
        self._count(method, "unknown")
        log.warning("placement_outcome_unknown", mode=self._mode, method=method, client_order_id=cl_ord_id, why=why)
        return OutcomeUnknown(
            f"It is not known whether the order was placed. {why}", client_order_id=cl_ord_id, deadline=deadline
        )

    @contextmanager
    def _timed(self, method: str) -> Iterator[None]:
        call = span(f"exchange {method}", kind=Kind.CLIENT, mode=self._mode, method=method)
        with SECONDS.labels(self._mode, method).time(), call:
            yield

    def _count(self, method: str, outcome: str) -> None:
        CALLS.labels(self._mode, method, outcome).inc()


def utc_now() -> datetime:
    """The time of day, by which deadlines are set."""
    return datetime.now(UTC)


def retry_after(response: requests.Response) -> int | None:
    """The seconds of the header Retry-After (RFC 9110, 10.2.3) of a refusal. None where there is none."""
    value = response.headers.get("Retry-After", "")
    if response.status_code not in (429, 503) or not value:
        return None
    if value.isdigit():
        return max(1, int(value))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(1, math.ceil((at - utc_now()).total_seconds()))


def wire_time(moment: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def never_left(error: requests.RequestException) -> bool:
    """Whether no connection was made: then no byte of the request was written."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause: Any = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)


def _short(error: Exception) -> str:
    return str(error) if isinstance(error, UnreadableAnswer) else type(error).__name__
