"""How fast a consumer process works off a backlog into the read models, beside reading alone in the same run.

Nothing is asserted about time: the machine is shared. That nothing is left behind is.
"""

import statistics
import time
from functools import partial
from typing import Any

import pytest

from apps.bots.consumers import READ_MODELS
from apps.bots.models import AccountTrade, BotStatus, BotTrade
from apps.events.brokers.kafka.consumer import event_consumer
from apps.events.consumers.registry import load_consumers
from apps.messages.cloud_events import from_kafka
from tests.bench.figures import record_figure
from tests.bench.trades import append_trades
from tests.support.consumers import consuming, drive_consumers
from tests.support.relaying import drain

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

TRADES = 50_000
EVENTS = 2 * TRADES
BOTS = 300
GOAL = 1_500


def test_a_backlog_into_the_read_models(topic: str) -> None:
    load_consumers()
    bots = append_trades(topic, trades=TRADES, bots=BOTS)
    drain(topic, seconds=300)
    read = _rate_of_reading(topic)

    rates: list[float] = []
    with consuming(READ_MODELS, topic) as consumer:
        began, seen = time.monotonic(), 0
        while seen < EVENTS:
            target = min(seen + EVENTS // 5, EVENTS)
            drive_consumers(consumer, until=partial(_has_handled, consumer, target), seconds=600)
            now, handled = time.monotonic(), _handled(consumer)
            rates.append((handled - seen) / (now - began))
            began, seen = now, handled

    assert BotTrade.objects.count() == AccountTrade.objects.count() == TRADES
    assert sum(BotStatus.objects.filter(bot_id__in=bots).values_list("trades", flat=True)) == TRADES
    median = statistics.median(rates)
    sizes = f"backlog of {EVENTS:,} in 3 partitions"
    record_figure("events into the read models", rates, "events/s", better="higher", goal=GOAL, note=sizes)
    record_figure("of reading and parsing alone", [rate / read for rate in rates], "", better="higher")
    print(
        f"\nbacklog of {EVENTS:,} events in 3 partitions: {median:,.0f} events/s into the read models "
        f"({min(rates):,.0f} to {max(rates):,.0f}; goal {GOAL:,}), {median / read:.2f} of reading and parsing alone"
    )


def _has_handled(consumer: Any, least: int) -> bool:
    return _handled(consumer) >= least


def _handled(consumer: Any) -> int:
    return sum(work.position or 0 for work in consumer._work.values())


def _rate_of_reading(topic: str) -> float:
    consumer: Any = event_consumer(group=f"{topic}.yardstick", client_id="yardstick")
    consumer.subscribe([topic])
    try:
        count, began = 0, 0.0
        while count < EVENTS:
            for records in consumer.poll(timeout_ms=500).values():
                began = began or time.monotonic()
                for record in records:
                    from_kafka(record.headers, record.value).message()
                count += len(records)
        return count / (time.monotonic() - began)
    finally:
        consumer.close()
