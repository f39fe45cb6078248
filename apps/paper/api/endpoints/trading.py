"""Private trading methods: place, amend, cancel."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.paper.api.endpoints.market_data import pair_named
from apps.paper.api.formats import order_sentence, terms_sentence
from apps.paper.api.params import Params
from apps.paper.api.registry import private
from apps.paper.engine.orders import OrderType, Side, TimeInForce
from apps.paper.engine.rules import OrderTerms
from apps.paper.errors import InvalidArguments
from apps.paper.models import ApiKey
from apps.paper.services.orders import (
    Amendment,
    dead_man_set,
    order_amend,
    order_cancel,
    order_check,
    order_place,
    orders_cancel_all,
)

# Only these values are accepted: margin, scheduled, triggered and conditional orders are not supported.
_ONLY = {
    "leverage": ("none", "1", "0"),
    "starttm": ("0", "+0"),
    "reduce_only": ("false", "0"),
    "stptype": ("cancel-newest", "cancel-oldest", "cancel-both"),
    "trigger": (),
    "price2": (),
    "displayvol": (),
    "close[ordertype]": (),
    "close": (),
}
_OFLAGS = {"post", "fciq", "nompp"}


@private("AddOrder", "modify-trades")
def add_order(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """Places an order. With ``validate=true`` it only checks the terms, not the funds."""
    terms = order_terms(params, now=timezone.now())
    if params.boolean("validate"):
        order_check(terms=terms, clock=timezone.now)
        return {"descr": {"order": terms_sentence(terms)}}
    order = order_place(account_id=api_key.account_id, terms=terms, clock=timezone.now)
    return {"descr": {"order": order_sentence(order)}, "txid": [order.txid]}


def order_terms(params: Params, *, now: datetime) -> OrderTerms:
    """Raises InvalidArguments naming the parameter that is invalid or not supported."""
    for name, accepted in _ONLY.items():
        value = params.text(name)
        if value is not None and value.lower() not in accepted:
            raise InvalidArguments(name)
    oflags = params.names("oflags")
    if not _OFLAGS.issuperset(oflags):
        raise InvalidArguments("oflags")
    expires_at = params.moment_ahead("expiretm", now=now)
    volume = params.number("volume")
    if volume is None:
        raise InvalidArguments("volume")
    return OrderTerms(
        pair=pair_named(params.required("pair")),
        side=params.choice("type", Side),
        kind=params.choice("ordertype", OrderType),
        volume=volume,
        limit=params.number("price"),
        time_in_force=_time_in_force(params, expires_at),
        post_only="post" in oflags,
        oflags=",".join(flag for flag in ("post", "fciq", "nompp") if flag in {*oflags, "fciq"}),
        expires_at=expires_at,
        deadline=params.rfc3339("deadline"),
        # Kraken shows 0 if there is no userref.
        userref=params.userref() or None,
        cl_ord_id=params.text("cl_ord_id"),
    )


def _time_in_force(params: Params, expires_at: datetime | None) -> TimeInForce:
    """An order with an expiry is good till date (GTD), whether or not it says so."""
    if params.text("timeinforce") is None:
        return TimeInForce.GTD if expires_at else TimeInForce.GTC
    stated = params.choice("timeinforce", TimeInForce)
    return TimeInForce.GTD if stated is TimeInForce.GTC and expires_at else stated


@private("AmendOrder", "modify-trades", "close-trades")
def amend_order(api_key: ApiKey, params: Params) -> dict[str, Any]:
    for name in ("display_qty", "trigger_price"):
        if params.text(name) is not None:
            raise InvalidArguments(name)
    reference, by_client_id = _reference(params)
    order = order_amend(
        account_id=api_key.account_id,
        reference=reference,
        by_client_id=by_client_id,
        amendment=Amendment(
            volume=params.number("order_qty"),
            limit=params.number("limit_price"),
            post_only=params.boolean("post_only"),
            deadline=params.rfc3339("deadline"),
        ),
        clock=timezone.now,
    )
    return {"amend_id": order.amend_id}


@private("CancelOrder", "modify-trades", "close-trades")
def cancel_order(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """Cancels by txid, client order id, or userref (which may match several orders)."""
    reference, by_client_id = _reference(params)
    count = order_cancel(
        account_id=api_key.account_id, reference=reference, by_client_id=by_client_id, clock=timezone.now
    )
    return {"count": count}


@private("CancelAll", "modify-trades", "close-trades")
def cancel_all(api_key: ApiKey, _params: Params) -> dict[str, Any]:
    return {"count": orders_cancel_all(account_id=api_key.account_id, clock=timezone.now)}


@private("CancelAllOrdersAfter", "modify-trades", "close-trades")
def cancel_all_orders_after(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """The dead-man's switch of the account: `timeout` in seconds, below a day; 0 removes it."""
    timeout = params.integer("timeout", least=0, most=86_399)
    if timeout is None:
        raise InvalidArguments("timeout")
    now, trigger = dead_man_set(account_id=api_key.account_id, timeout_seconds=timeout, clock=timezone.now)
    return {"currentTime": _rfc3339(now), "triggerTime": _rfc3339(trigger) if trigger else "0"}


def _reference(params: Params) -> tuple[str, bool]:
    txid, client_id = params.text("txid"), params.text("cl_ord_id")
    if (txid is None) is (client_id is None):
        raise InvalidArguments("txid")
    return (txid, False) if txid is not None else (str(client_id), True)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
