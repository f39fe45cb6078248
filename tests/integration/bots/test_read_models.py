"""The read models do not depend on the order of events, which arrive by two brokers."""

from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Alert, BotStatus, BotTrade, UserTrading
from apps.bots.position_pnl import Fill, PositionPnl
from apps.bots.services.read_model_changes import ReadModelChanges
from apps.events.consumers.delivery import deliver, deliver_batch
from apps.events.consumers.registry import load_consumers
from apps.events.models import InboxEntry
from apps.messages.bots import BotError, BotStarted, BotStopped
from apps.messages.kraken import KrakenKeyTestFailed
from apps.messages.trading import BotTradeExecuted, BotTradeSkipped, PositionAbandoned
from apps.messages.user import UserCreated
from tests.factories.bots import START_OF_STORY, Story
from tests.integration.bots.stories import ACTIONS, deliver_all, everything, tell

pytestmark = pytest.mark.django_db

load_consumers()


def status_of(story: Story) -> BotStatus:
    return BotStatus.objects.get(bot_id=story.bot_id)


stories = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 9)), min_size=1, max_size=12).map(tell)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(story=stories, data=st.data())
def test_any_order_of_arrival_ends_in_the_same_rows(story: Story, data: st.DataObject) -> None:
    with transaction.atomic():
        deliver_all(story.envelopes)
        in_order = everything()
        transaction.set_rollback(True)
    with transaction.atomic():
        deliver_all(data.draw(st.permutations(story.envelopes)))
        assert everything() == in_order
        transaction.set_rollback(True)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(story=stories)
def test_the_rows_say_what_someone_would_who_read_the_story_aloud(story: Story) -> None:
    state, run_id, error, skip, pnl = "stopped", None, "", "", PositionPnl()
    for envelope in story.envelopes:
        match envelope.message():
            case BotStarted() as message:
                state, run_id = "running", message.run_id
            case BotStopped() as message if run_id in (None, message.run_id):
                state = {"pause": "paused", "error": "error"}.get(message.manner, "stopped")
            case BotError() as message:
                error = message.code
                state = "error" if message.is_final and run_id in (None, message.run_id) else state
            case BotTradeSkipped() as message:
                skip = message.code
            case BotTradeExecuted() as message:
                pnl = pnl.after(Fill(message.side, message.volume, message.cost, message.fee))
            case PositionAbandoned() as message:
                pnl = pnl.without(message.volume)

    with transaction.atomic():
        deliver_all(story.envelopes)
        status = BotStatus.objects.filter(bot_id=story.bot_id).first() or BotStatus(bot_id=story.bot_id)
        assert (status.state, status.error_code, status.skip_code) == (state, error, skip)
        if run_id is not None:
            assert status.run_id == run_id
        assert PositionPnl(**{name: getattr(status, name) for name in PositionPnl.__dataclass_fields__}) == pnl
        trades = BotTrade.objects.filter(bot_id=story.bot_id)
        assert sum(trade.realised_pnl for trade in trades) == pnl.realised_pnl
        transaction.set_rollback(True)


def test_an_event_counts_once_however_often_it_is_delivered() -> None:
    story = Story()
    story.started()
    trade = story.traded("buy")
    deliver_all(story.envelopes)

    assert deliver(trade, group=READ_MODELS) is False
    assert status_of(story).trades == 1
    assert BotTrade.objects.count() == 1


def test_a_stop_of_an_older_run_does_not_stop_the_newer_one() -> None:
    story = Story()
    story.started()
    old = story.run_id
    story.started()
    deliver_all([*story.envelopes, story.stopped(run_id=old)])

    status = status_of(story)
    assert (status.state, status.run_id) == ("running", story.run_id)
    assert status.last_seq == 3


def test_a_start_that_arrives_after_its_stop_does_not_revive_the_bot() -> None:
    story = Story()
    started, stopped = story.started(version=4), story.stopped()
    deliver_all([stopped, started])

    status = status_of(story)
    assert (status.state, status.since) == ("stopped", START_OF_STORY.replace(minute=1))
    assert (status.run_started_at, status.config_version) == (START_OF_STORY, 4)


def test_a_run_that_never_began_reports_its_error() -> None:
    story = Story()
    failed = BotError(
        bot_id=story.bot_id,
        user_id=story.user_id,
        command_id=uuid4(),
        code="wrong_mode",
        message="A paper bot and a live key.",
        is_final=True,
        failed_at=story.now,
    )
    deliver_all([story.tell(failed)])

    status = status_of(story)
    assert (status.state, status.run_id, status.error_code, status.reason) == (
        "error",
        None,
        "wrong_mode",
        "A paper bot and a live key.",
    )


def test_trouble_that_does_not_end_the_run_leaves_it_running() -> None:
    story = Story()
    story.started()
    story.failed(is_final=False)
    deliver_all(story.envelopes)

    status = status_of(story)
    assert (status.state, status.error_code, status.error_at) == (
        "running",
        "exchange_down",
        story.now.replace(minute=1),
    )


def test_a_late_trade_is_put_in_its_place() -> None:
    story = Story()
    story.started()
    bought = story.traded("buy", volume="1", price="100", fee="0")
    sold = story.traded("sell", volume="1", price="130", fee="0")
    deliver_all([sold, bought])

    assert status_of(story).realised_pnl == Decimal(30)
    profits = BotTrade.objects.order_by("seq").values_list("realised_pnl", flat=True)
    assert list(profits) == [Decimal(0), Decimal(30)]


def test_a_new_user_has_an_empty_summary_and_trades_fill_it() -> None:
    story = Story()
    deliver_all([story.tell(UserCreated(user_id=story.user_id, roles=("trader",), created_at=story.now))])
    summary = UserTrading.objects.get(user_id=story.user_id)
    assert (summary.registered_at, summary.trades, summary.last_trade_at) == (START_OF_STORY, 0, None)

    deliver_all([story.account_traded("buy"), story.account_traded("sell")])
    summary.refresh_from_db()
    assert (summary.registered_at, summary.trades, summary.last_trade_at) == (
        START_OF_STORY,
        2,
        START_OF_STORY.replace(minute=2),
    )


def test_a_failed_key_test_becomes_an_alert_without_a_secret() -> None:
    story = Story()
    envelope = story.tell(
        KrakenKeyTestFailed(
            user_id=story.user_id,
            mode="live",
            code="withdraw_right",
            message="The key may withdraw. Make one without that right.",
            failed_at=story.now,
        )
    )
    assert deliver(envelope, group=ALERTS)

    alert = Alert.objects.get()
    assert (alert.id, alert.user_id, alert.kind, alert.code, alert.severity) == (
        envelope.event_id,
        story.user_id,
        "kraken.key.test.failed",
        "withdraw_right",
        "critical",
    )


@pytest.mark.parametrize(("is_final", "severity"), [(True, "critical"), (False, "warning")])
def test_a_failed_bot_becomes_an_alert(is_final: bool, severity: str) -> None:
    story = Story()
    assert deliver(story.failed(is_final=is_final), group=ALERTS)

    assert Alert.objects.get(bot_id=story.bot_id).severity == severity


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(story=stories, data=st.data())
def test_batches_of_any_size_end_in_the_same_rows_as_one_event_at_a_time(story: Story, data: st.DataObject) -> None:
    with transaction.atomic():
        deliver_all(story.envelopes)
        one_by_one = everything()
        transaction.set_rollback(True)
    with transaction.atomic():
        left = data.draw(st.permutations(story.envelopes))
        while left:
            size = data.draw(st.integers(1, len(left)))
            batch, left = left[:size], left[size:]
            assert deliver_batch(batch, group=READ_MODELS) == len(batch)
        assert everything() == one_by_one
        transaction.set_rollback(True)


def test_a_batch_handles_an_event_once_however_often_it_holds_it() -> None:
    story = Story()
    story.started()
    trade = story.traded("buy")
    assert deliver(trade, group=READ_MODELS)

    assert deliver_batch([*story.envelopes, *story.envelopes], group=READ_MODELS) == 1
    assert deliver_batch(story.envelopes, group=READ_MODELS) == 0
    assert (status_of(story).trades, status_of(story).state) == (1, "running")


def test_a_batch_with_an_event_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    story.started()
    story.traded("buy")
    story.skipped()

    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such code")

    monkeypatch.setattr(ReadModelChanges, "write", fail)
    with pytest.raises(ValueError, match="no such code"):
        deliver_batch(story.envelopes, group=READ_MODELS)

    assert not any(everything().values())
    assert InboxEntry.objects.count() == 0
