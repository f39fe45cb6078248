"""The dashboard shows what processes measured, says how old that is, and opens whatever is down."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from prometheus_client import CollectorRegistry, Gauge

from apps.analytics.models import DailyFigure
from apps.core import samples
from apps.core.models import FigureSample
from apps.core.samples import (
    RequestCounts,
    counts_add,
    gauges_kept,
    gauges_read,
    samples_purge,
    samples_write,
    slot_of,
)
from apps.events.brokers.rabbitmq import queue_figures
from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.process.heartbeats import BROKERS, beat
from apps.ops.dashboard import panels as dashboard
from apps.ops.dashboard.history import plots
from apps.ops.dashboard.panels import Panel, panels
from tests.factories.accounts import FAST_HASHERS
from tests.support.staff_site import client_of, serve_staff_site

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, 1, 30, tzinfo=UTC)
PAGE, FIGURES, HISTORY = "/admin/dashboard/", "/admin/dashboard/figures.json", "/admin/dashboard/history.json"


@pytest.fixture(autouse=True)
def _no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """No port of a service is asked for its liveness: other tests of the machine may have one there."""
    monkeypatch.setattr("apps.ops.health._service", lambda name, _: _down(name))


def _down(name: str) -> Any:
    from apps.ops.health import DependencyState

    return DependencyState(f"{name} service", "down", "It does not answer.")


def _panel(panel_id: str, now: datetime | None = None) -> Panel:
    return next(panel for panel in panels(now=now or timezone.now()) if panel.id == panel_id)


# What processes write


def test_a_slot_keeps_the_last_the_least_and_the_most_of_five_minutes() -> None:
    for second, value in enumerate((5.0, 9.0, 2.0, 4.0)):
        samples_write({("orders", "paper/unknown"): value}, now=NOON + timedelta(seconds=second))
    samples_write({("orders", "paper/unknown"): 7.0}, now=NOON + samples.SLOT)

    first, second_slot = FigureSample.objects.order_by("slot")
    assert (first.slot, first.value, first.least, first.most) == (NOON.replace(minute=0, second=0), 4, 2, 9)
    assert first.at == NOON + timedelta(seconds=3)
    assert (second_slot.value, second_slot.least) == (7, 7)


def test_counts_of_several_processes_add_up() -> None:
    for _ in range(3):
        counts_add({("http_requests", "user"): 10.0, ("http_errors", "user"): 1.0}, now=NOON)

    values = dict(FigureSample.objects.values_list("figure", "value"))
    assert values == {"http_requests": 30, "http_errors": 3}


def test_gauges_are_added_up_over_the_labels_that_are_not_kept() -> None:
    registry = CollectorRegistry()
    pending = Gauge("outbox_pending", "", ["transport", "slot"], registry=registry)
    for slot in range(3):
        pending.labels("kafka", slot).set(2)
    Gauge("account_drifts", "", registry=registry).set(1)

    found = gauges_read(["outbox_pending", "account_drifts", "orders"], registry)

    assert found == {("outbox_pending", "kafka"): 6, ("account_drifts", ""): 1}


def test_each_kept_gauge_is_measured_by_a_process_that_samples() -> None:
    # Declared where they are set.
    import apps.events.consumers.metrics
    import apps.events.outbox.metrics
    import apps.trading.figures  # noqa: F401

    measured = {
        name for process in ("relay", "dispatcher", "event-consumer", "reconciler") for name in gauges_kept(process)
    }
    assert measured == set(samples.KEPT)


def test_old_samples_go() -> None:
    samples_write({("orders", "paper/unknown"): 1.0}, now=NOON)
    samples_write({("orders", "paper/unknown"): 1.0}, now=NOON + samples.KEPT_FOR)

    assert samples_purge(now=NOON + samples.KEPT_FOR + timedelta(minutes=10)) == 1
    assert FigureSample.objects.count() == 1


class _Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_requests_are_written_every_ten_seconds_and_kept_while_the_database_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = _Clock()
    counts = RequestCounts("user", clock=clock)
    for status in (200, 404, 500, 503):
        counts.add(status)
    assert not FigureSample.objects.exists()

    with monkeypatch.context() as broken:

        def refuse(*_: Any, **__: Any) -> None:
            raise DatabaseError

        broken.setattr(samples, "counts_add", refuse)
        clock.seconds = 11
        counts.add(200)
    clock.seconds = 22
    counts.add(200)

    values = dict(FigureSample.objects.values_list("figure", "value"))
    assert values == {"http_requests": 6, "http_errors": 2}


def test_a_process_that_serves_nothing_counts_no_requests() -> None:
    clock = _Clock()
    counts = RequestCounts("pytest", clock=clock)
    clock.seconds = 20
    counts.add(500)

    assert not FigureSample.objects.exists()


def test_the_dispatcher_measures_every_queue_and_nothing_while_rabbitmq_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from apps.events.brokers.rabbitmq.connection import connect, release
    from apps.events.brokers.topology import rabbitmq

    connection = connect("test")
    rabbitmq.declare(connection)
    release(connection)

    queue_figures.read_queues()
    queues = {sample.labels["queue"] for sample in next(iter(queue_figures.messages.collect())).samples}
    assert {"bot.start", "bot.start.dlq"} <= queues

    def refuse(_: str) -> None:
        raise BrokerUnavailable("RabbitMQ refuses connections.")

    monkeypatch.setattr(queue_figures, "connect", refuse)
    queue_figures.read_queues()
    assert not next(iter(queue_figures.messages.collect())).samples


# What the page shows


def _measured(now: datetime) -> None:
    values = {
        ("queue_messages", "bot.start"): 3.0,
        ("queue_messages", "bot.start.dlq"): 1.0,
        ("consumer_lag", "analytics/user.events/0"): 4.0,
        ("consumer_lag", "analytics/user.events/1"): 5.0,
        ("orders", "live/unknown"): 1.0,
        ("orders_oldest_age_seconds", "live/unknown"): 90.0,
        ("account_drifts", ""): 0.0,
        ("outbox_oldest_age_seconds", "kafka"): 0.0,
        ("exchange_budget_left_ratio", "key"): 0.75,
    }
    samples_write(values, now=now)
    for broker in BROKERS:
        beat(broker, "up")


def test_panels_show_the_last_figures_and_what_is_wrong() -> None:
    now = timezone.now()
    _measured(now)

    assert _panel("consumers", now).rows == [("analytics", "9", "0")]
    orders = _panel("orders", now)
    assert orders.rows == [("live", "unknown", "1", "90 s")]
    assert (orders.state, orders.detail) == ("bad", "1 orders are unknown or need a person.")
    queues = _panel("queues", now)
    assert (queues.state, queues.detail) == ("bad", "1 messages are in dead-letter queues.")
    assert _panel("drift", now).state == _panel("outbox", now).state == _panel("budget", now).state == "ok"


def test_figures_that_nobody_measures_any_more_are_not_shown_as_present() -> None:
    now = timezone.now()
    _measured(now - timedelta(minutes=5))

    assert _panel("drift", now).state == "unknown"
    assert "Last measured 300 s ago" in _panel("drift", now).detail
    assert _panel("drift", now + timedelta(hours=1)).detail.startswith("Nothing has been measured")


def test_what_was_never_measured_is_no_zero() -> None:
    assert _panel("drift").rows[0] == ("balances that differ", "not measured")
    assert _panel("budget").rows == [("keys paused by the exchange", "not measured")]


def test_a_queue_that_is_no_more_is_not_shown() -> None:
    now = timezone.now()
    samples_write({("queue_messages", "gone"): 2.0}, now=now - timedelta(minutes=6))
    samples_write({("queue_messages", "bot.start"): 0.0}, now=now)

    assert [row[0] for row in _panel("queues", now).rows] == ["bot.start", "all retry delays"]


@pytest.mark.parametrize(("broker", "panel"), [("rabbitmq", "queues"), ("kafka", "consumers")])
def test_a_panel_says_that_its_broker_is_down(broker: str, panel: str) -> None:
    now = timezone.now()
    _measured(now)
    beat(broker, "down", "It refuses connections.")

    shown = _panel(panel, timezone.now())

    assert shown.state == "bad"
    assert f"{broker} is down. It refuses connections." in shown.detail
    assert shown.rows


def test_errors_are_counted_by_service() -> None:
    now = timezone.now()
    counts_add({("http_requests", "kraken"): 200.0, ("http_errors", "kraken"): 1.0}, now=now)

    errors = _panel("errors", now)

    assert errors.rows == [("kraken", "200", "1 (0.50%)", "200", "1 (0.50%)")]
    assert errors.state == "bad"


def test_daily_figures_are_listed_by_day_with_the_volume_of_each_currency() -> None:
    now = timezone.now()
    day = now.date()
    for figure, asset, value in (("trades", "", 3), ("volume", "ZUSD", "10.50"), ("volume", "ZEUR", "7")):
        DailyFigure.objects.create(
            id=f"{figure}{asset}", day=day, figure=figure, mode="paper", asset=asset, value=value
        )  # fmt: skip

    (row,) = _panel("days", now).rows
    assert row[0] == day.isoformat()
    assert row[-1] == "7 ZEUR paper; 10.5 ZUSD paper"
    assert "3" in row


def test_a_panel_that_cannot_be_read_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Panel:
        raise DatabaseError("no")

    monkeypatch.setitem(dashboard._PANELS, "Drift", broken)

    shown = {panel.id: panel for panel in panels(now=timezone.now())}
    assert (shown["drift"].state, shown["drift"].detail) == ("unknown", "It cannot be read.")
    assert "orders" in shown


def test_plots_have_a_line_for_each_group_and_null_where_nothing_was_measured() -> None:
    now = timezone.now()
    before = slot_of(now) - timedelta(minutes=10)
    samples_write({("consumer_lag", "a/t/0"): 1.0, ("consumer_lag", "a/t/1"): 2.0}, now=before)
    samples_write({("consumer_lag", "b/t/0"): 4.0}, now=now)

    lag = next(plot for plot in plots(now=now, back=timedelta(hours=1)) if plot["id"] == "lag")

    assert lag["times"] == [int(before.timestamp()), int(slot_of(now).timestamp())]
    assert lag["lines"] == [{"label": "a", "values": [3.0, None]}, {"label": "b", "values": [None, 4.0]}]


@pytest.fixture
def _staff_site(settings: Any) -> None:
    serve_staff_site(settings)
    settings.PASSWORD_HASHERS = FAST_HASHERS


@pytest.mark.usefixtures("_staff_site")
def test_every_member_of_staff_sees_the_dashboard_and_operators_the_way_to_flower() -> None:
    _measured(timezone.now())

    page = client_of("auditor").get(PAGE)
    assert page.status_code == 200
    assert "1 orders are unknown or need a person." in page.content.decode()
    assert 'href="/flower/"' not in page.content.decode()
    assert 'href="/flower/"' in client_of("operator").get(PAGE).content.decode()
    answer = client_of("support").get(FIGURES).json()
    assert {panel["id"] for panel in answer["panels"]} >= {"processes", "queues", "days"}


@pytest.mark.usefixtures("_staff_site")
def test_nobody_else_does() -> None:
    for path in (PAGE, FIGURES, HISTORY):
        assert Client().get(path).status_code == 302
        assert client_of("trader").get(path).status_code == 302


@pytest.mark.usefixtures("_staff_site")
def test_the_span_of_plots_is_bounded() -> None:
    admin = client_of("admin")
    for hours in ("0", "169", "x", "1.5", "-1", "²"):
        assert admin.get(HISTORY, {"hours": hours}).status_code == 400
    assert admin.get(HISTORY, {"hours": "168"}).status_code == 200
