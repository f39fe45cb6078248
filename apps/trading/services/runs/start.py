"""Starting a bot."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from apps.core.context import current_context
from apps.core.terms import Mode
from apps.events.commands.delivery import CommandDropped, Delivery
from apps.events.store.publish import publish
from apps.exchange.instrument import Instrument
from apps.exchange.types import Balance
from apps.messages.bots import BotStarted, StartBot
from apps.risk.caps import refuse_budget_above_cap
from apps.risk.errors import AccountChangedMeanwhile
from apps.risk.live_trading import refuse_live_trading
from apps.risk.models.switches import BotSwitch
from apps.risk.services.accounts import account_changes
from apps.risk.services.caps import live_beginning_record
from apps.risk.services.switches import switch_get_for_update
from apps.strategies.registry import strategy_get
from apps.trading.errors import WrongAccount
from apps.trading.models.runs import LIVE_RUNS, BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.allocations import account_hold, budget_allocate
from apps.trading.services.orders.positions import position_ensure
from apps.trading.services.orders.unknown_outcome import orphans_cancel
from apps.trading.services.runs.histories import history_current, refuse_unreconciled

log = structlog.get_logger(__name__)

# How often the balances are read where bookings come in between, before the start waits for its next attempt.
BALANCE_READS = 3


def run_start(*, command: StartBot, delivery: Delivery, context: ExecutionContext = LIVE_CONTEXT) -> BotRun:
    """Begins a run. Its row, `bot.started` and the completion of the command are one transaction.

    Raises CommandDropped where the bot runs already, was stopped since or was deleted, UnknownStrategy,
    InvalidParameters, UnknownPair, WrongAccount, ForeignOrders, LiveTradingDisabled, HistoryNotReconciled,
    BudgetExceedsAccount, what opening the credential raises, and AccountChangedMeanwhile, where a later attempt may
    help.
    """
    _refuse_unwanted(command)
    refuse_live_trading(command.config.mode)
    refuse_unreconciled(now=context.clock())
    run = _run_of(command, now=context.clock())
    strategy_get(run.definition.strategy).read(run.definition.parameters)
    deps = context.deps(run)
    instrument = deps.market.instrument(run.definition.pair).value
    orphans_cancel(bot_id=run.bot_id, deps=deps, lost=history_current().lost)
    for _ in range(BALANCE_READS):
        changes = account_changes(run.credential_id)
        balances = deps.exchange.balances()
        with suppress(AccountChangedMeanwhile):
            return _begin(run, command, delivery, instrument, AccountRead(changes, balances), now=context.clock())
    raise AccountChangedMeanwhile("The account's other bots trade so often that its balance cannot be read in between.")


@dataclass(frozen=True, slots=True)
class AccountRead:
    """The exchange's balances, and the account's count of changes before they were read."""

    changes: int
    balances: Mapping[str, Balance]


@transaction.atomic
def _begin(
    run: BotRun, command: StartBot, delivery: Delivery, instrument: Instrument, read: AccountRead, *, now: datetime
) -> BotRun:
    switch_get_for_update(command.bot_id)
    _refuse_unwanted(command)
    run.pair = instrument.altname
    refuse_budget_above_cap(
        run.mode,
        user_id=run.user_id,
        bot_id=run.bot_id,
        asset=instrument.quote,
        quote_budget=run.definition.quote_budget,
        now=now,
    )
    if run.mode != Mode.PAPER:
        live_beginning_record(user_id=run.user_id, now=now)
    _refuse_another_account(run)
    account = account_hold(run)
    if account.changes != read.changes:
        raise AccountChangedMeanwhile("The account changed while its balances were read.")
    position = position_ensure(
        bot_id=run.bot_id,
        credential_id=run.credential_id,
        pair=run.pair,
        base_asset=instrument.base,
        quote_asset=instrument.quote,
        now=now,
    )
    budget_allocate(account, run, position, balances=read.balances, now=now)
    run.started_at = run.next_tick_at = now
    run.started_event_id = publish(
        BotStarted(
            bot_id=run.bot_id,
            user_id=run.user_id,
            run_id=run.id,
            command_id=command.command_id,
            config_version=run.definition.version,
            started_at=now,
        ),
        now=now,
    )
    run.save(force_insert=True)
    delivery.complete(now=now)
    log.info("run_started", run_id=str(run.id), bot_id=str(run.bot_id), strategy=run.definition.strategy)
    return run


def refuse_deleted(bot_id: UUID) -> None:
    """Raises CommandDropped."""
    if BotSwitch.objects.filter(bot_id=bot_id, deleted_at__isnull=False).exists():
        raise CommandDropped("the bot was deleted")


def _refuse_unwanted(command: StartBot) -> None:
    refuse_deleted(command.bot_id)
    if BotSwitch.objects.filter(bot_id=command.bot_id, stop_requested_at__gte=command.requested_at).exists():
        raise CommandDropped("superseded: the bot was told to stop after this start was asked for")
    if BotRun.objects.filter(bot_id=command.bot_id, state__in=LIVE_RUNS).exists():
        raise CommandDropped("the bot is already running")


def _refuse_another_account(run: BotRun) -> None:
    """A bot keeps the account and the pair of its first run: its coins and its orders are there. Raises WrongAccount.

    A trigger of the table refuses it as well.
    """
    last = BotRun.objects.filter(bot_id=run.bot_id).order_by("-started_at").first()
    if last is not None and (last.credential_id, last.pair) != (run.credential_id, run.pair):
        raise WrongAccount(
            "The bot has run with another key or pair, and what it holds is there. Clone it to trade elsewhere.",
            credential_id=str(last.credential_id),
            pair=last.pair,
        )


def _run_of(command: StartBot, *, now: datetime) -> BotRun:
    config = command.config
    return BotRun(
        bot_id=command.bot_id,
        user_id=command.user_id,
        credential_id=config.credential_id,
        mode=config.mode,
        pair=config.pair,
        interval_minutes=config.interval_minutes,
        config=config.model_dump(mode="json"),
        start_command_id=command.command_id,
        requested_at=command.requested_at,
        started_at=now,
        next_tick_at=now,
        correlation_id=current_context().correlation_id,
    )
