"""A worker process that trades with a real run and is killed, frozen or disturbed at a chosen point.

`python -m tests.support.workers.dying RUN_ID WORK [FAULT]`: WORK is `tick` or `rest`. FAULT is WHAT WHEN PLACE, with
WHAT `kill` or `freeze`, WHEN `before` or `after`, and PLACE a function as `module:name` or `module:Class.name`; or
`clock SECONDS`. The point is a patch of this process alone: the product has no fault points.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import django

SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


def disturb(what: str, when: str, place: str) -> None:
    """The first call of the function sends this process the signal, before it does anything or after all is done."""
    module, _, path = place.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for each in outer:
        holder = getattr(holder, each)
    real: Callable[..., Any] = getattr(holder, name)
    is_first = True

    def strike() -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            os.kill(os.getpid(), SIGNALS[what])

    def disturbed(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            strike()
        result = real(*args, **kwargs)
        if when == "after":
            strike()
        return result

    setattr(holder, name, disturbed)


def set_clock_back(seconds: float) -> None:
    """For everything that reads the time of day in this process, except what has the functions by name already."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() - seconds
    time.time_ns = lambda: real_ns() - int(seconds * 1e9)


def rest(run_id: UUID) -> str:
    """Places a purchase far below the market, which rests."""
    from apps.trading.ids import decision_id
    from apps.trading.models.orders import OrderKind
    from apps.trading.models.runs import BotRun
    from apps.trading.services.context.live import LIVE_CONTEXT
    from apps.trading.services.context.run_lease import run_lease_wait
    from apps.trading.services.orders.lifecycle import DecidedOrder, intent_plan
    from apps.trading.services.orders.placement import order_place

    run = BotRun.objects.get(id=run_id)
    with run_lease_wait(run_id=run_id, context=LIVE_CONTEXT) as lease:
        deps = LIVE_CONTEXT.deps(run)
        instrument = deps.market.instrument(run.pair).value
        price = instrument.floor_price(deps.market.ticker(run.pair).value.bid / 2)
        step = decision_id(bot_id=run.bot_id, step=str(uuid4()), side="buy")
        order = DecidedOrder("buy", OrderKind.REST, price, Decimal("0.01"), "test", step)
        intent = intent_plan(lease=lease, order=order, decides_candle=False, now=deps.clock())
        assert intent is not None
        return str(order_place(lease=lease, intent_id=intent.id, deps=deps).intent.state)


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(run_id: str, work: str, *fault: str) -> None:
    django.setup()
    from apps.trading.services.runs.tick import tick_run

    if fault and fault[0] == "clock":
        set_clock_back(float(fault[1]))
    elif fault:
        disturb(*fault)
    say("at work")
    say(rest(UUID(run_id)) if work == "rest" else tick_run(run_id=UUID(run_id)))


if __name__ == "__main__":
    main(*sys.argv[1:])
