"""The budget of calls: stored with the key, charged before a call leaves, and over it nothing is sent."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from apps.core.terms import Mode
from apps.exchange import budget as budget_module
from apps.exchange.budget import Budget
from apps.exchange.errors import ExchangeRateLimited, ExchangeUnavailable, OutcomeUnknown, OverBudget
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.kraken.exchange import KrakenExchange
from apps.exchange.limits import Tier
from apps.exchange.models import ExchangeBudget
from apps.exchange.nonce import key_digest, nonce_forget
from tests.factories.exchange import OrderRequestFactory
from tests.factories.exchange_stub import KEY, SECRET, ExchangeStub, Reply, errors, result, running_stub

pytestmark = pytest.mark.django_db(transaction=True)

PLACED = result({"descr": {"order": "buy"}, "txid": ["OAAAAA-BBBBB-CCCCCC"]})


class StoppedClock:
    """The budget's clock, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> int:
        return int(self.now * 1_000_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    clock = StoppedClock()
    monkeypatch.setattr(budget_module, "_now", clock)
    return clock


@pytest.fixture
def stub() -> Iterator[ExchangeStub]:
    with running_stub() as running:
        running.reply("BalanceEx", result({}))
        running.reply("OpenOrders", result({"open": {}}))
        running.reply("AddOrder", PLACED)
        running.reply("CancelOrder", result({"count": 1}))
        yield running


def account(stub: ExchangeStub, *, caller: str = "", tier: Tier = Tier.STARTER) -> KrakenExchange:
    """As a process of its own would open it."""
    policy = CallPolicy(1, 2, attempts=1)
    return KrakenExchange(
        mode=Mode.PAPER, url=stub.url, api_key=KEY, api_secret=SECRET, policy=policy, tier=tier, caller=caller
    )


def test_over_the_budget_nothing_is_sent_and_the_wait_is_named(stub: ExchangeStub, clock: StoppedClock) -> None:
    for _ in range(15):
        account(stub).open_orders()
    with pytest.raises(OverBudget) as over:
        account(stub).open_orders()
    assert len(stub.received) == 15
    assert over.value.retryable
    assert over.value.retry_after_seconds == 4  # one point, at 0.33 a second
    clock.now += 4
    account(stub).open_orders()
    assert len(stub.received) == 16


def test_the_budget_outlives_the_process(stub: ExchangeStub, clock: StoppedClock) -> None:
    for _ in range(15):
        account(stub).open_orders()
    row = ExchangeBudget.objects.get(key_digest=key_digest(KEY))
    assert (row.scope, row.points) == ("", 15_000_000)


def test_a_call_that_fails_is_charged_too(stub: ExchangeStub, clock: StoppedClock) -> None:
    stub.reply("OpenOrders", Reply(status=502, body=b"Bad gateway"))
    with pytest.raises(ExchangeUnavailable):
        account(stub).open_orders()
    assert ExchangeBudget.objects.get().points == 1_000_000


def test_cancels_pass_where_placements_wait(stub: ExchangeStub, clock: StoppedClock) -> None:
    made = 0
    with pytest.raises(OverBudget) as over:
        for _ in range(61):
            account(stub).submit(OrderRequestFactory.create())
            made += 1
    assert made == 50
    assert over.value.retry_after_seconds == 1
    young = datetime.fromtimestamp(clock.now - 1, UTC)
    account(stub).cancel(exchange_order_id="OAAAAA-BBBBB-CCCCCC", pair="XBTUSD", placed_at=young)
    assert ExchangeBudget.objects.get(scope="XBTUSD").points == 58_000_000
    # Another pair has a counter of its own.
    account(stub).cancel(exchange_order_id="OAAAAA-BBBBB-CCCCCC", pair="ETHUSD", placed_at=young - timedelta(hours=1))
    assert ExchangeBudget.objects.get(scope="ETHUSD").points == 0


def test_a_bot_that_places_all_it_can_leaves_half_to_another(stub: ExchangeStub, clock: StoppedClock) -> None:
    made = dict.fromkeys("ab", 0)
    for bot in made:
        with pytest.raises(OverBudget):
            for _ in range(60):
                account(stub, caller=bot).submit(OrderRequestFactory.create())
                made[bot] += 1
    assert made == {"a": 25, "b": 25}


@pytest.mark.parametrize("tier", [Tier.STARTER, Tier.UNLIMITED])
def test_a_pause_that_the_exchange_asks_for_holds_for_the_key(
    stub: ExchangeStub, clock: StoppedClock, tier: Tier
) -> None:
    stub.reply("OpenOrders", Reply(status=429, body=b"slow down", headers={"Retry-After": "40"}))
    with pytest.raises(ExchangeRateLimited) as limited:
        account(stub, tier=tier).open_orders()
    assert limited.value.retry_after_seconds == 40
    sent = len(stub.received)
    for call in (account(stub, tier=tier).balances, account(stub, tier=tier).open_orders):
        with pytest.raises(OverBudget) as over:
            call()
        assert over.value.retry_after_seconds == 40
    assert len(stub.received) == sent
    clock.now += 40
    account(stub, tier=tier).balances()


def test_a_throttled_key_waits_until_the_time_that_was_named(stub: ExchangeStub, clock: StoppedClock) -> None:
    stub.reply("OpenOrders", errors(f"EService: Throttled: {int(time.time()) + 30}"))
    with pytest.raises(ExchangeRateLimited):
        account(stub).open_orders()
    with pytest.raises(OverBudget) as over:
        account(stub).balances()
    assert 25 <= over.value.retry_after_seconds <= 30


def test_a_placement_that_was_answered_by_the_edge_is_unknown_and_the_key_waits(
    stub: ExchangeStub, clock: StoppedClock
) -> None:
    stub.reply("AddOrder", Reply(status=429, body=b"slow down", headers={"Retry-After": "7"}))
    with pytest.raises(OutcomeUnknown):
        account(stub).submit(OrderRequestFactory.create())
    with pytest.raises(OverBudget):
        account(stub).balances()


def test_the_exchanges_own_counter_counts_more(stub: ExchangeStub, clock: StoppedClock) -> None:
    stub.reply("OpenOrders", errors("EAPI:Rate limit exceeded"))
    with pytest.raises(ExchangeRateLimited):
        account(stub).open_orders()
    with pytest.raises(OverBudget):
        account(stub).balances()
    stub.reply("AddOrder", errors("EOrder:Rate limit exceeded"))
    account(stub).submit(OrderRequestFactory.create())
    with pytest.raises(OverBudget):
        account(stub).submit(OrderRequestFactory.create())


def test_an_exchange_that_counts_nothing_is_not_counted(stub: ExchangeStub, clock: StoppedClock) -> None:
    for _ in range(30):
        account(stub, tier=Tier.UNLIMITED).balances()
    assert not ExchangeBudget.objects.exists()


def test_the_budget_of_a_key_that_is_not_used_again_is_forgotten(stub: ExchangeStub, clock: StoppedClock) -> None:
    account(stub).balances()
    nonce_forget(KEY)
    assert not ExchangeBudget.objects.exists()


def test_a_pause_from_before_the_clock_was_set_back_does_not_last(stub: ExchangeStub, clock: StoppedClock) -> None:
    Budget(key_digest(KEY), Tier.STARTER).block(900)
    clock.now -= 7200
    account(stub).balances()


@pytest.mark.parametrize("seconds", [60, 3600, 86_400])
def test_a_clock_set_back_delays_no_call(stub: ExchangeStub, clock: StoppedClock, seconds: int) -> None:
    """A full counter decays from then on by the new time, and does not wait for the clock to come to where it was."""
    for _ in range(15):
        account(stub).open_orders()
    clock.now -= seconds
    with pytest.raises(OverBudget):
        account(stub).open_orders()
    clock.now += 2
    with pytest.raises(OverBudget):
        account(stub).open_orders()
    clock.now += 2
    account(stub).open_orders()
    assert len(stub.received) == 16
