"""Celery tasks of the bot service: handlers of commands and wake-up messages."""

from datetime import datetime

from django.utils import timezone

from apps.events.commands.delivery import CommandDropped, Delivery
from apps.events.commands.registry import executes, on_wake_up
from apps.events.store.publish import publish
from apps.messages.bots import (
    AbandonPosition,
    BotError,
    ResolveOrder,
    StartBot,
    StartLimitedBot,
    StopBot,
    StopDeletedBot,
    TickBot,
    TriggerTrade,
)
from apps.trading.models.resolutions import OrderResolution
from apps.trading.services.orders.manual_resolution import resolution_carry_out, resolution_refuse
from apps.trading.services.runs.manual_trade import trade_complete, trade_result_failed, trade_trigger
from apps.trading.services.runs.start import run_start
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import tick_run


def start_failed(command: StartBot, code: str, message: str, now: datetime) -> None:
    """Publishes that the bot did not start and will not."""
    _announce(command, code, message, now, is_final=True)


def request_failed(command: StopBot | TriggerTrade, code: str, message: str, now: datetime) -> None:
    """Publishes that a command to the bot failed; its run, if any, continues unchanged."""
    _announce(command, code, message, now, is_final=False)


@executes(StartLimitedBot, on_failure=start_failed)
@executes(StartBot, on_failure=start_failed)
def start(command: StartBot, delivery: Delivery) -> None:
    run_start(command=command, delivery=delivery)


@executes(AbandonPosition, on_failure=request_failed)
def abandon(command: AbandonPosition, delivery: Delivery) -> None:
    run_stop(command=command, delivery=delivery)


@executes(StopDeletedBot, on_failure=request_failed)
@executes(StopBot, on_failure=request_failed)
def stop(command: StopBot, delivery: Delivery) -> None:
    run_stop(command=command, delivery=delivery)


def trade_failed(command: TriggerTrade, code: str, message: str, now: datetime) -> None:
    """Publishes that no trade was made, or none that is known of, and says so in the receipt."""
    trade_result_failed(command=command, code=code, message=message)
    request_failed(command, code, message, now)


@executes(TriggerTrade, on_failure=trade_failed)
def trigger_trade(command: TriggerTrade, delivery: Delivery) -> None:
    trade_trigger(command=command)
    trade_complete(command=command, delivery=delivery, now=timezone.now())


def resolution_failed(command: ResolveOrder, code: str, message: str, now: datetime) -> None:
    """Stores why a person's entry about an order was not applied."""
    resolution_refuse(resolution_id=command.command_id, code=code, message=message, details={}, now=now)


@executes(ResolveOrder, on_failure=resolution_failed)
def resolve_order(command: ResolveOrder, delivery: Delivery) -> None:
    try:
        resolution_carry_out(resolution_id=command.command_id)
    except OrderResolution.DoesNotExist:
        # Both are committed together, so this database has lost the entry and will not find it.
        raise CommandDropped("There is no such entry: enter it again if the order still needs a person.") from None
    delivery.complete(now=timezone.now())


@on_wake_up(TickBot)
def tick(wake_up: TickBot) -> None:
    tick_run(run_id=wake_up.run_id)


def _announce(
    command: StartBot | StopBot | TriggerTrade, code: str, message: str, now: datetime, *, is_final: bool
) -> None:
    publish(
        BotError(
            bot_id=command.bot_id,
            user_id=command.user_id,
            command_id=command.command_id,
            code=code,
            message=message,
            is_final=is_final,
            failed_at=now,
        ),
        now=now,
    )
