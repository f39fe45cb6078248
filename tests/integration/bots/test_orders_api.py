"""Every order can be seen over HTTP, with what was observed of it, by its owner alone."""

from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot, BotOrder, OrderState, OrderStep
from apps.core.terms import Side
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.publish import publish
from apps.messages.orders import BotOrderResolved
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from tests.factories.bots import Story, TraderClient

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()

ORDERS = "/api/v1/trading/orders"


def show(story: Story) -> None:
    for envelope in story.envelopes:
        deliver(envelope, group=READ_MODELS)


def ids(trader: TraderClient, query: str = "") -> list[str]:
    answer = trader.get(f"{ORDERS}{query}")
    assert answer.status_code == 200, answer.json()
    return [order["id"] for order in answer.json()["results"]]


def story_of(bot: Bot) -> Story:
    return Story(bot_id=bot.id, user_id=bot.user_id)


def test_the_read_model_knows_every_state_of_an_order() -> None:
    assert set(OrderState.values) == set(IntentState.values)


class TestReadModel:
    def test_an_order_is_what_its_newest_event_says_in_whatever_order_they_arrive(self) -> None:
        story, order_id = Story(), uuid4()
        for state in ("planned", "sending", "open", "partial", "canceled"):
            story.order(state, order_id=order_id, code=state)
        arrivals = list(story.envelopes)
        Random(7).shuffle(arrivals)
        for envelope in arrivals:
            deliver(envelope, group=READ_MODELS)

        order = BotOrder.objects.get()
        assert (order.state, order.seq, order.code) == ("canceled", 5, "canceled")
        steps = OrderStep.objects.order_by("seq").values_list("state", flat=True)
        assert list(steps) == ["planned", "sending", "open", "partial", "canceled"]

    def test_an_event_that_is_delivered_twice_is_one_step(self) -> None:
        story = Story()
        envelope = story.order("open", order_id=uuid4())
        assert deliver(envelope, group=READ_MODELS)
        assert not deliver(envelope, group=READ_MODELS)
        assert (BotOrder.objects.count(), OrderStep.objects.count()) == (1, 1)


class TestList:
    @pytest.fixture
    def stories(self, trader: TraderClient) -> tuple[Story, Story]:
        """One bot buys XBT and sells it again, another has an ETH order of unknown outcome."""
        xbt, eth = Story(user_id=trader.user_id), Story(user_id=trader.user_id, pair="ETHUSD")
        xbt.order("filled", order_id=UUID(int=1), planned_at=xbt.now.replace(hour=9))
        xbt.order("open", order_id=UUID(int=2), side=Side.SELL, planned_at=xbt.now.replace(hour=10))
        eth.order("unknown", order_id=UUID(int=3), planned_at=eth.now.replace(hour=11))
        show(xbt)
        show(eth)
        return xbt, eth

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", [3, 2, 1]),
            ("?pair=ETHUSD", [3]),
            ("?side=sell", [2]),
            ("?state=filled", [1]),
            ("?state=unknown&side=sell", []),
            ("?mode=live", []),
            ("?mode=paper&state=open", [2]),
            ("?since=2026-03-01T10:00:00Z", [3, 2]),
            ("?until=2026-03-01T10:00:00Z", [1]),
            ("?since=2026-03-01T10:00:00Z&until=2026-03-01T11:00:00Z", [2]),
            ("?since=2026-03-01T12:00:00%2B02:00", [3, 2]),
        ],
    )
    def test_can_be_filtered(
        self, trader: TraderClient, stories: tuple[Story, Story], query: str, expected: list[int]
    ) -> None:
        assert ids(trader, query) == [str(UUID(int=number)) for number in expected]

    def test_can_be_filtered_by_bot(self, trader: TraderClient, stories: tuple[Story, Story]) -> None:
        xbt, eth = stories
        assert ids(trader, f"?bot_id={eth.bot_id}") == [str(UUID(int=3))]
        assert len(ids(trader, f"?bot_id={xbt.bot_id}&state=open")) == 1

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("?state=lost", "malformed"),
            ("?since=yesterday", "malformed"),
            ("?bot_id=7", "malformed"),
            ("?bot=7", "unknown_field"),
            ("?cursor=x", "malformed"),
        ],
    )
    def test_what_cannot_be_a_filter_is_refused(self, trader: TraderClient, query: str, code: str) -> None:
        answer = trader.get(f"{ORDERS}{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] in (code, "invalid")

    def test_comes_by_pages_newest_first(self, trader: TraderClient) -> None:
        story = Story(user_id=trader.user_id)
        for number in range(1, 6):
            # All of one moment: the cursor tells them apart by their ids.
            story.order("open", order_id=UUID(int=number))
        show(story)
        seen, url = [], f"{ORDERS}?limit=2"
        while url:
            page = trader.get(url).json()
            seen += [order["id"] for order in page["results"]]
            url = page["next"]
        assert seen == [str(UUID(int=number)) for number in (5, 4, 3, 2, 1)]

    def test_shows_the_callers_own_orders_only(self, trader: TraderClient, stories: tuple[Story, Story]) -> None:
        xbt, _ = stories
        stranger = TraderClient()
        assert ids(stranger) == ids(stranger, f"?bot_id={xbt.bot_id}") == []


class TestDetail:
    def told(self, trader: TraderClient, bot: Bot) -> tuple[dict[str, Any], UUID]:
        story, order_id = story_of(bot), uuid4()
        story.order("planned", order_id=order_id)
        story.order("needs_human", order_id=order_id, code="unattributed_activity")
        evidence = {"operator": "Grace Hopper", "operator_id": "g", "because": "I looked.", "txid": "OABC"}
        story.order(
            "open", order_id=order_id, event=BotOrderResolved, was="needs_human", operator="Grace Hopper",
            evidence=(evidence,),
        )  # fmt: skip
        story.order("partial", order_id=order_id, filled_volume="0.01")
        show(story)
        return trader.get(f"{ORDERS}/{order_id}").json(), order_id

    def test_has_the_whole_life_with_the_evidence_of_each_step(self, trader: TraderClient, bot: Bot) -> None:
        body, order_id = self.told(trader, bot)
        assert (body["id"], body["state"], body["filled_volume"], body["volume"]) == (
            str(order_id),
            "partial",
            "0.01",
            "0.02",
        )
        assert [(step["type"], step["state"]) for step in body["history"]] == [
            ("bot.order.planned", "planned"),
            ("bot.order.needs_person", "needs_human"),
            ("bot.order.resolved", "open"),
            ("bot.order.partly_filled", "partial"),
        ]
        assert body["history"][1]["code"] == "unattributed_activity"

    def test_says_that_an_operator_resolved_it_and_not_who(self, trader: TraderClient, bot: Bot) -> None:
        body, _ = self.told(trader, bot)
        assert body["history"][2]["evidence"] == [{"because": "I looked.", "txid": "OABC", "by": "operator"}]
        assert "Hopper" not in trader.get(f"{ORDERS}/{body['id']}").content.decode()

    def test_has_the_fills(self, trader: TraderClient, bot: Bot) -> None:
        story, order_id = story_of(bot), uuid4()
        story.order("open", order_id=order_id)
        story.traded("buy", order_id=order_id, volume="0.01")
        story.traded("buy", volume="0.5")
        show(story)
        body = trader.get(f"{ORDERS}/{order_id}").json()
        assert [trade["volume"] for trade in body["trades"]] == ["0.01"]

    def test_of_anothers_order_is_not_found(self, trader: TraderClient, bot: Bot) -> None:
        _, order_id = self.told(trader, bot)
        stranger = TraderClient()
        answers = [stranger.get(f"{ORDERS}/{each}") for each in (order_id, uuid4())]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert {answer.json()["error"]["code"] for answer in answers} == {"order_not_found"}


class TestStatus:
    @pytest.mark.parametrize("state", list(IntentState))
    def test_open_orders_are_those_that_have_not_ended(
        self, trader: TraderClient, bot: Bot, state: IntentState
    ) -> None:
        story = story_of(bot)
        story.order(state, order_id=uuid4(), client_order_id="mk-1")
        show(story)
        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()
        assert body["open_orders"] == (["mk-1"] if state in ACTIVE_STATES else [])
        assert body["orders"] == trader.get(f"{ORDERS}?bot_id={bot.id}").json()["results"][: len(body["open_orders"])]

    def test_an_order_that_ends_after_the_stop_is_open_no_more(self, trader: TraderClient, bot: Bot) -> None:
        story, order_id = story_of(bot), uuid4()
        story.started()
        story.order("open", order_id=order_id, client_order_id="mk-1")
        story.stopped(open_orders=("mk-1",))
        show(story)
        assert trader.get(f"/api/v1/bot/{bot.id}/status").json()["open_orders"] == ["mk-1"]

        deliver(story.order("canceled", order_id=order_id), group=READ_MODELS)
        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()
        assert (body["state"], body["open_orders"]) == ("stopped", [])

    @pytest.mark.parametrize("state", ["unknown", "needs_human"])
    def test_names_the_orders_of_which_nobody_knows_what_became(
        self, trader: TraderClient, bot: Bot, state: str
    ) -> None:
        story, order_id = story_of(bot), uuid4()
        story.order("open", order_id=uuid4())
        story.order(state, order_id=order_id, client_order_id="mk-2", code="timeout")
        show(story)
        [unclear] = trader.get(f"/api/v1/bot/{bot.id}/status").json()["unclear_orders"]
        assert unclear == {
            "order_id": str(order_id),
            "client_order_id": "mk-2",
            "side": "buy",
            "state": state,
            "code": "timeout",
            "changed_at": "2026-03-01T12:01:00Z",
        }


def test_the_timeline_tells_each_step_in_a_sentence_and_no_name_of_the_staff(trader: TraderClient, bot: Bot) -> None:
    story, order_id = story_of(bot), uuid4()
    for state in ("planned", "sending", "unknown", "needs_human"):
        story.order(state, order_id=order_id, client_order_id="mk-1", code="timeout")
    story.order(
        "open", order_id=order_id, event=BotOrderResolved, was="needs_human", operator="Grace Hopper",
        evidence=({"operator": "Grace Hopper", "because": "I looked."},),
    )  # fmt: skip
    story.order("partial", order_id=order_id, filled_volume="0.01")
    story.order("canceled", order_id=order_id, filled_volume="0.01", code="User requested")
    for told in story.envelopes:
        publish(told.message(), now=told.occurred_at, user_id=story.user_id)  # type: ignore[arg-type]

    answer = trader.get(f"/api/v1/bot/{bot.id}/timeline")
    assert [entry["title"] for entry in reversed(answer.json()["results"])] == [
        "Planned to buy 0.02 XBTUSD at 10000.",
        "Sending the order mk-1.",
        "What became of the order mk-1 is not known yet.",
        "The order mk-1 waits for an operator: timeout.",
        "An operator settled what became of the order: it is open.",
        "The order is partly filled: 0.01 of 0.02 filled.",
        "The order ended as canceled: User requested; 0.01 of 0.02 filled.",
    ]
    assert "Hopper" not in answer.content.decode()
