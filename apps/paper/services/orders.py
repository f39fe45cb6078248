"""Orders: place, amend, cancel. Each call is one transaction in a market session and changes everything or nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from apps.paper import ids, selectors
from apps.paper.engine.fees import fee_schedule
from apps.paper.engine.order_matching import CancelReason, match_order
from apps.paper.engine.orders import ZERO, Fill, OrderType, Side, Status, TimeInForce, WorkingOrder
from apps.paper.engine.rules import (
    OrderTerms,
    check_cost,
    check_deadline,
    check_not_elapsed,
    check_price,
    check_terms,
    check_times,
    check_volume,
)
from apps.paper.errors import (
    ClientOrderIdInUse,
    InsufficientFunds,
    InvalidArguments,
    InvalidOrder,
    MarketInCancelOnlyMode,
    OrdersLimitExceeded,
    PostOnlyOrder,
    UnknownAssetPair,
    UnknownOrder,
)
from apps.paper.market.listing import listed_markets
from apps.paper.models import LIVE, Account, Order
from apps.paper.services.market_session import (
    ORDER_FIELDS,
    Clock,
    LockedMarket,
    MarketSession,
    open_market_session,
    working_order,
)

MAX_OPEN_ORDERS = 80  # per account and pair: Kraken's Intermediate tier


@transaction.atomic
def account_settle(*, account_id: UUID, clock: Clock) -> None:
    """Settles the markets in which the account has resting orders up to now."""
    pairs = selectors.live_pairs(account_id)
    if pairs:
        open_market_session(pairs=pairs, account_id=None, clock=clock).save()


def order_check(*, terms: OrderTerms, clock: Clock) -> None:
    """Checks the rules but not the funds (``validate=true``). Raises the KrakenRefusal that placing would raise."""
    check_terms(terms)
    if terms.pair.altname not in listed_markets():
        raise UnknownAssetPair
    arrived_at = clock()
    check_deadline(terms.deadline, arrived_at)
    check_times(terms, arrived_at)


@transaction.atomic
def order_place(*, account_id: UUID, terms: OrderTerms, clock: Clock) -> Order:
    """Places an order and matches it against the book at once. Raises a KrakenRefusal; nothing has changed then."""
    order_check(terms=terms, clock=clock)
    pairs = selectors.live_pairs(account_id) | {terms.pair.altname}
    session = open_market_session(pairs=pairs, account_id=account_id, clock=clock)
    market = session.markets[terms.pair.altname]
    check_times(terms, session.now)
    _refuse_what_the_market_refuses(terms, market)
    _refuse_what_the_account_refuses(account_id, terms)

    order = _new_order(session.ledger.accounts[account_id], terms, session.now)
    working = working_order(order)
    fills = match_order(
        working, market.order_book(), time_in_force=terms.time_in_force, post_only=terms.post_only, at=session.now
    )
    _refuse_beyond_funds(session, working, fills, held_before=ZERO)
    _write(session, market, order, working, fills)
    return order


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """The change of a live order: its volume (total, including what is filled) or its limit; None leaves it."""

    volume: Decimal | None = None
    limit: Decimal | None = None
    post_only: bool = False
    deadline: datetime | None = None


@transaction.atomic
def order_amend(*, account_id: UUID, reference: str, by_client_id: bool, amendment: Amendment, clock: Clock) -> Order:
    """Changes a live order in place and gives it a new `amend_id`.

    More volume or a new price loses the time priority. A volume at or below what is filled ends the order. Raises a
    KrakenRefusal; nothing has changed then.
    """
    if amendment.volume is None and amendment.limit is None:
        raise InvalidArguments
    check_deadline(amendment.deadline, clock())
    session, order = _session_of(account_id, reference, by_client_id, clock)
    market = session.markets[order.pair]
    working = working_order(order)
    held_before = order.held
    fills = _amend(session, market, working, amendment, is_post_only=amendment.post_only or order.post_only)
    if working.reason == CancelReason.POST_ONLY:
        raise PostOnlyOrder
    _refuse_beyond_funds(session, working, fills, held_before=held_before)
    order.amend_id = ids.amend_id()
    _write(session, market, order, working, fills)
    return order


def _amend(
    session: MarketSession, market: LockedMarket, working: WorkingOrder, amendment: Amendment, *, is_post_only: bool
) -> list[Fill]:
    limit = working.limit if amendment.limit is None else amendment.limit
    volume = working.volume if amendment.volume is None else amendment.volume
    assert limit is not None, "a live order has a limit"
    if volume <= working.filled:
        working.end(Status.CANCELED, reason=CancelReason.REDUCED, at=session.now)
        return []
    check_price(working.pair, limit)
    check_volume(working.pair, volume)
    check_cost(working.pair, volume, limit)
    check_not_elapsed(amendment.deadline, session.now)
    if market.has_ended:
        raise MarketInCancelOnlyMode
    is_repriced = limit != working.limit
    if is_repriced or volume > working.volume:
        working.queued_at = session.now
    working.volume, working.limit = volume, limit
    if not is_repriced:
        return []
    return match_order(
        working, market.order_book(), time_in_force=TimeInForce.GTC, post_only=is_post_only, at=session.now
    )


@transaction.atomic
def order_cancel(*, account_id: UUID, reference: str, by_client_id: bool, clock: Clock) -> int:
    """Cancels the order with this txid or client order id, or every order with this userref. Returns how many.

    Raises UnknownOrder if no live order matches, InvalidOrder if the text is not a reference.
    """
    matching = selectors.live_orders_matching(account_id, reference, by_client_id=by_client_id)
    if matching is None:
        raise InvalidOrder
    pairs = {order.pair for order in matching}
    canceled = _cancel(account_id, pairs, {order.id for order in matching}, clock)
    if not canceled:
        raise UnknownOrder
    return canceled


@transaction.atomic
def orders_cancel_all(*, account_id: UUID, clock: Clock) -> int:
    """Cancels every live order of the account. Returns how many."""
    return _cancel(account_id, selectors.live_pairs(account_id), None, clock)


@transaction.atomic
def dead_man_set(*, account_id: UUID, timeout_seconds: int, clock: Clock) -> tuple[datetime, datetime | None]:
    """Dead-man's switch: sets, renews or (0) removes the time at which all orders end. Returns now and that time.

    It fires once: orders placed after that time are not affected.
    """
    session = open_market_session(pairs=selectors.live_pairs(account_id), account_id=account_id, clock=clock)
    account = session.ledger.accounts[account_id]
    account.cancel_all_at = session.now + timedelta(seconds=timeout_seconds) if timeout_seconds else None
    account.save(update_fields=["cancel_all_at"])
    session.save()
    return session.now, account.cancel_all_at


def _cancel(account_id: UUID, pairs: set[str], order_ids: set[int] | None, clock: Clock) -> int:
    if not pairs:
        return 0
    session = open_market_session(pairs=pairs, account_id=account_id, clock=clock)
    live = Order.objects.filter(account_id=account_id, pair__in=session.markets, status__in=LIVE).select_related(
        "account"
    )
    orders = list(live if order_ids is None else live.filter(id__in=order_ids))
    for order in orders:
        working = working_order(order)
        working.end(Status.CANCELED, reason=CancelReason.USER, at=session.now)
        session.ledger.update(order, working)
    Order.objects.bulk_update(orders, ORDER_FIELDS)
    session.save()
    return len(orders)


def _session_of(account_id: UUID, reference: str, by_client_id: bool, clock: Clock) -> tuple[MarketSession, Order]:
    """Opens a session on the market of the one live order that the reference names; returns it with the settled order.

    Raises UnknownOrder, InvalidOrder.
    """
    matching = selectors.live_orders_matching(account_id, reference, by_client_id=by_client_id)
    if matching is None:
        raise InvalidOrder
    if len(matching) != 1:
        raise UnknownOrder
    session = open_market_session(pairs={matching[0].pair}, account_id=account_id, clock=clock)
    order = Order.objects.select_related("account").filter(id=matching[0].id, status__in=LIVE).first()
    if order is None or order.pair not in session.markets:
        raise UnknownOrder
    return session, order


def _new_order(account: Account, terms: OrderTerms, now: datetime) -> Order:
    volume_usd = selectors.volume_30_days(account.id, now=now)
    tier = fee_schedule(account.fee_schedule).tier(volume_usd)
    return Order(
        txid=ids.order_txid(),
        account=account,
        pair=terms.pair.altname,
        side=terms.side.value,
        kind=terms.kind.value,
        time_in_force=terms.time_in_force.value,
        volume=terms.volume,
        limit_price=terms.limit,
        post_only=terms.post_only,
        oflags=terms.oflags,
        userref=terms.userref,
        cl_ord_id=terms.cl_ord_id,
        taker_rate=tier.taker,
        maker_rate=tier.maker,
        filled=ZERO,
        taker_notional=ZERO,
        maker_notional=ZERO,
        held=ZERO,
        status=Status.PENDING.value,
        opened_at=now,
        queued_at=now,
        expires_at=terms.expires_at,
    )


def _refuse_what_the_market_refuses(terms: OrderTerms, market: LockedMarket) -> None:
    if market.has_ended:
        raise MarketInCancelOnlyMode
    if terms.kind is OrderType.MARKET:
        check_cost(terms.pair, terms.volume, terms.pair.price(market.replay.price_at(market.step)))


def _refuse_what_the_account_refuses(account_id: UUID, terms: OrderTerms) -> None:
    if terms.kind is OrderType.MARKET and terms.cl_ord_id is None:
        return
    live = Order.objects.filter(account_id=account_id, status__in=LIVE)
    references = list(live.values_list("pair", "cl_ord_id"))
    if terms.cl_ord_id is not None and terms.cl_ord_id in {cl_ord_id for _, cl_ord_id in references}:
        raise ClientOrderIdInUse
    on_pair = sum(pair == terms.pair.altname for pair, _ in references)
    if terms.kind is OrderType.LIMIT and on_pair >= MAX_OPEN_ORDERS:
        raise OrdersLimitExceeded


def _refuse_beyond_funds(
    session: MarketSession, working: WorkingOrder, fills: list[Fill], *, held_before: Decimal
) -> None:
    """Raises InsufficientFunds if the fills and the new hold need more than what is free plus the order's old hold."""
    if working.side is Side.BUY:
        spent = sum((fill.cost + fill.fee for fill in fills), ZERO)
    else:
        spent = sum((fill.volume for fill in fills), ZERO)
    needed = spent + working.held - held_before
    if needed > session.ledger.free(working.account_id, working.held_asset.code):
        raise InsufficientFunds


def _write(
    session: MarketSession, market: LockedMarket, order: Order, working: WorkingOrder, fills: list[Fill]
) -> None:
    session.ledger.update(order, working)
    order.save()
    for fill in fills:
        session.ledger.record_fill(order, fill)
    market.take(fills)
    session.save()
