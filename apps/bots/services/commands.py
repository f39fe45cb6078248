"""Commands to bots: recorded and dispatched in one transaction, executed by the bot service's workers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from apps.bots.adapters import credential_recheck, key_hold
from apps.bots.errors import AmountTooLarge, BotAlreadyRunning, BotNotRunning, BotStopping
from apps.bots.models import Bot, BotCommand, BotState, CommandKind
from apps.bots.models.definitions import LIFECYCLE
from apps.bots.rules import check_caps, check_credential, check_rights, check_still_listed
from apps.bots.selectors.bots import BotView, bot_get, bot_get_for_update, bot_list, bot_view, bot_views
from apps.core.errors import Malformed
from apps.core.identity.assurance import NONE, Assurance
from apps.core.ids import new_id
from apps.core.money import plain
from apps.core.terms import Side
from apps.events.store.publish import dispatch
from apps.messages.bots import AbandonPosition, StartLimitedBot, StopBot, StopDeletedBot, TriggerTrade
from apps.risk.errors import TradingHalted
from apps.risk.gates import refuse_unmet_gates
from apps.risk.live_trading import refuse_live_trading
from apps.risk.models.halts import HaltLevel
from apps.risk.selectors import halt_sentence, halt_strictest
from apps.risk.services.switches import bot_switch_off, stop_request, stop_request_all, user_hold

Manner = Literal["pause", "stop", "flatten"]

# An undelivered command expires: a start or stop after a day, a trade much sooner, as the owner's intent is outdated.
LIFECYCLE_EXPIRES_AFTER = timedelta(hours=24)
# A deletion does not become outdated: the worker must receive it, however late.
DELETION_EXPIRES_AFTER = timedelta(days=3650)
TRADE_EXPIRES_AFTER = timedelta(minutes=15)

STARTING = "Starting a live bot"


def bot_check_gates(*, bot_id: UUID, user_id: UUID, assurance: Assurance, now: datetime) -> None:
    """The gates of bot_start, then the key, before anything else is asked of the exchange. Not in a transaction.

    Raises BotNotFound, LiveGateUnmet, and what a test of the key raises.
    """
    config = bot_get(bot_id=bot_id, user_id=user_id).config
    refuse_unmet_gates(config.mode, act=STARTING, assurance=assurance, now=now)
    credential_recheck(credential_id=config.credential_id, user_id=user_id, now=now)


@transaction.atomic
def bot_start(*, bot_id: UUID, user_id: UUID, now: datetime, assurance: Assurance = NONE) -> BotCommand:
    """Requests a run of the current definition.

    Raises BotNotFound, BotAlreadyRunning, BotStopping, UnknownCredential, CredentialNotActive, WrongMode, UnknownPair,
    LiveGateUnmet, KeyLacksRights, CapExceeded, TradingHalted.
    """
    bot = bot_get_for_update(bot_id=bot_id, user_id=user_id)
    view = bot_view(bot, now=now)
    if view.state == BotState.RUNNING:
        raise BotAlreadyRunning("Bot is already running.", bot_id=str(bot.id), state=view.state)
    if view.state == BotState.STARTING:
        raise BotAlreadyRunning("Bot is already being started.", bot_id=str(bot.id), state=view.state)
    if view.state == BotState.STOPPING:
        raise BotStopping("Bot is being stopped. Start it once it has stopped.", bot_id=str(bot.id))
    config = bot.config
    refuse_unmet_gates(config.mode, act=STARTING, assurance=assurance, now=now)
    _refuse_halted(bot)
    # Before it is read: a key that is being disconnected is waited for.
    key_hold(credential_id=config.credential_id)
    check_rights(check_credential(credential_id=config.credential_id, user_id=user_id, mode=config.mode))
    check_still_listed(config.pair, mode=config.mode)
    check_caps(config, bot_id=bot.id, user_id=user_id, now=now)
    now = _after_earlier_commands([bot.id], now)
    command = _record(view, CommandKind.START, now=now, expires_after=LIFECYCLE_EXPIRES_AFTER)
    dispatch(
        StartLimitedBot(
            command_id=command.id,
            bot_id=bot.id,
            user_id=user_id,
            config=config,
            requested_at=now,
            expires_at=command.expires_at,
        ),
        now=now,
    )
    return command


def bot_pause(*, bot_id: UUID, user_id: UUID, now: datetime) -> BotCommand:
    """Requests the end of trading; open orders stay. Raises BotNotFound, BotNotRunning, BotStopping."""
    return _end(bot_id=bot_id, user_id=user_id, kind=CommandKind.PAUSE, now=now)


def bot_stop(*, bot_id: UUID, user_id: UUID, now: datetime, manner: Manner = "stop") -> BotCommand:
    """Requests the end of trading and, as `manner` says, of open orders and of the position.

    From the commit on the bot sends no new order, but for the sales of a flatten. A start in progress is superseded; if
    it has not been delivered yet, it never runs. Raises BotNotFound, BotNotRunning, BotStopping.
    """
    return _end(bot_id=bot_id, user_id=user_id, kind=CommandKind(manner), now=now)


def bot_flatten(*, bot_id: UUID, user_id: UUID, now: datetime) -> BotCommand:
    """Requests a stop and the sale of the bot's position. Raises BotNotFound, BotNotRunning, BotStopping."""
    return _end(bot_id=bot_id, user_id=user_id, kind=CommandKind.FLATTEN, now=now)


@transaction.atomic
def bot_stop_all(*, user_id: UUID, manner: Manner, now: datetime) -> list[BotCommand]:
    """Requests the end of every bot of the user that may have something to end. Stopped bots get no command.

    From the commit on no bot of the user sends a new order, but for the sales of a flatten.
    """
    kind = CommandKind(manner)
    # Rows are locked in id order, so that two concurrent calls do not deadlock.
    bots = list(bot_list(user_id=user_id).select_for_update().order_by("id"))
    now = _after_earlier_commands([bot.id for bot in bots], now)
    views = [
        view
        for view in bot_views(bots, now=now)
        if view.state != BotState.STOPPED and _refusal_to_end(view, kind) is None
    ]
    commands = _record_ends(views, kind, now=now)
    # Held for as short as can be: the user's orders that are to be sent wait for it.
    user_hold(user_id)
    stop_request_all(bot_ids=[bot.id for bot in bots], requested_at=now)
    for command in commands:
        _dispatch_stop(command, now=now)
    return commands


@transaction.atomic
def bot_trigger_trade(
    *, bot_id: UUID, user_id: UUID, now: datetime, side: Side | None = None, quote_amount: Decimal | None = None
) -> BotCommand:
    """Requests a trade of a running bot now. Without `side` its strategy decides. `quote_amount` is in the quote asset.

    Raises BotNotFound, BotNotRunning, AmountTooLarge, Malformed, LiveTradingDisabled, TradingHalted.
    """
    bot = bot_get_for_update(bot_id=bot_id, user_id=user_id)
    view = bot_view(bot, now=now)
    if view.state != BotState.RUNNING:
        raise BotNotRunning(f"Bot is {view.state}; only a running bot can trade.", bot_id=str(bot.id), state=view.state)
    if side != Side.SELL:  # with live trading off a bot may still sell what it holds
        refuse_live_trading(bot.mode)
    _refuse_halted(bot)
    if quote_amount is not None and side is None:
        raise Malformed("Say which side the amount is for.")
    if quote_amount is not None and quote_amount > bot.quote_budget:
        raise AmountTooLarge("The amount is larger than the bot's budget.", quote_budget=plain(bot.quote_budget))
    arguments = {"side": side, "quote_amount": plain(quote_amount) if quote_amount is not None else None}
    command = _record(
        view,
        CommandKind.TRIGGER_TRADE,
        now=now,
        expires_after=TRADE_EXPIRES_AFTER,
        arguments={name: value for name, value in arguments.items() if value is not None},
    )
    dispatch(
        TriggerTrade(
            command_id=command.id,
            bot_id=bot.id,
            user_id=user_id,
            side=side,
            quote_amount=quote_amount,
            requested_at=now,
            expires_at=command.expires_at,
        ),
        now=now,
    )
    return command


def _refuse_halted(bot: Bot) -> None:
    """Raises TradingHalted where no order of the bot may be sent at all. Under `reducing` it may run for its exits."""
    halt = halt_strictest(bot_id=bot.id, credential_id=bot.credential_id, user_id=bot.user_id)
    if halt is not None and halt.level == HaltLevel.HALTED:
        raise TradingHalted(
            halt_sentence(halt),
            bot_id=str(bot.id),
            halt={
                "id": str(halt.id),
                "scope": halt.scope,
                "level": halt.level,
                "code": halt.code,
                "reason": halt.reason,
                "set_by": halt.source,
                "since": halt.since.isoformat(),
            },
        )


@transaction.atomic
def _end(*, bot_id: UUID, user_id: UUID, kind: CommandKind, now: datetime) -> BotCommand:
    bot = bot_get_for_update(bot_id=bot_id, user_id=user_id)
    view = bot_view(bot, now=now)
    if refusal := _refusal_to_end(view, kind):
        raise refusal
    now = _after_earlier_commands([bot_id], now)
    stop_request(bot_id=bot_id, requested_at=now)
    return _dispatch_end(view, kind, now=now)


def _after_earlier_commands(bot_ids: Sequence[UUID], now: datetime) -> datetime:
    """`now`, or the moment after the latest command of these bots where the clock was set back since.

    Workers compare these times: a start applies to what follows it, and a stop to the runs before it. The bots' rows
    must be locked.
    """
    latest = BotCommand.objects.filter(bot_id__in=bot_ids).aggregate(at=Max("requested_at"))["at"]
    return now if latest is None or latest < now else latest + timedelta(microseconds=1)


def _refusal_to_end(view: BotView, kind: CommandKind) -> BotNotRunning | BotStopping | None:
    """The error, or None if the command is allowed. A stop is allowed whenever there may be something left to stop."""
    bot, state = view.bot, view.state
    if state in (BotState.RUNNING, BotState.STARTING):
        return None
    if state == BotState.STOPPING:
        before = CommandKind(view.latest.kind).strength if view.latest else 0
        if kind.strength > before or (kind.strength == before and not view.is_in_progress):
            return None
        return BotStopping("Bot is already being stopped.", bot_id=str(bot.id))
    has_orders = bool(view.open_orders) or state in (BotState.ERROR, BotState.PAUSED)
    holds = view.status.position_volume > 0
    if (kind == CommandKind.STOP and has_orders) or (kind == CommandKind.FLATTEN and (has_orders or holds)):
        return None
    return BotNotRunning(f"Bot is not running: it is {state}.", bot_id=str(bot.id), state=state)


def _dispatch_end(view: BotView, kind: CommandKind, *, now: datetime) -> BotCommand:
    """Records and dispatches a StopBot. The bot's row must be locked, and its switch be set."""
    command = _record(view, kind, now=now, expires_after=LIFECYCLE_EXPIRES_AFTER)
    _dispatch_stop(command, now=now)
    return command


def _dispatch_stop(command: BotCommand, *, now: datetime) -> None:
    kind = command.kind
    manner: Manner = "pause" if kind == CommandKind.PAUSE else "stop" if kind == CommandKind.STOP else "flatten"
    dispatch(
        StopBot(
            command_id=command.id,
            bot_id=command.bot_id,
            user_id=command.user_id,
            manner=manner,
            requested_at=now,
            expires_at=command.expires_at,
        ),
        now=now,
    )


def dispatch_deletion(view: BotView, *, now: datetime, abandon: bool) -> BotCommand:
    """Records and dispatches a StopDeletedBot. The bot's row must be locked.

    From then on the bot sends no order, and workers drop every start of it that is still in a queue or a dead-letter
    queue. What it holds is given up to the account; `abandon` records that its owner said so.
    """
    bot_switch_off(bot_id=view.bot.id, deleted_at=now)
    now = _after_earlier_commands([view.bot.id], now)
    arguments = {"abandon": True} if abandon else {}
    command = _record(view, CommandKind.STOP, now=now, expires_after=DELETION_EXPIRES_AFTER, arguments=arguments)
    dispatch(
        StopDeletedBot(
            command_id=command.id,
            bot_id=view.bot.id,
            user_id=view.bot.user_id,
            manner="stop",
            requested_at=now,
            expires_at=command.expires_at,
            deleted_at=now,
        ),
        now=now,
    )
    return command


def dispatch_abandonment(view: BotView, *, now: datetime) -> BotCommand:
    """Records and dispatches that the bot gives up its coins, because its key goes. The bot's row must be locked."""
    now = _after_earlier_commands([view.bot.id], now)
    arguments = {"abandon": True}
    command = _record(view, CommandKind.STOP, now=now, expires_after=DELETION_EXPIRES_AFTER, arguments=arguments)
    dispatch(
        AbandonPosition(
            command_id=command.id,
            bot_id=view.bot.id,
            user_id=view.bot.user_id,
            manner="stop",
            requested_at=now,
            expires_at=command.expires_at,
            reason="key_disconnected",
        ),
        now=now,
    )
    return command


def _record(
    view: BotView,
    kind: CommandKind,
    *,
    now: datetime,
    expires_after: timedelta,
    arguments: dict[str, Any] | None = None,
) -> BotCommand:
    """Inserts the command. A lifecycle command closes the previous one, and supersedes it if it is in progress."""
    bot: Bot = view.bot
    command = _new_command(view, kind, now=now, expires_after=expires_after, arguments=arguments)
    if kind.is_lifecycle:
        # The foreign key to the new row is checked at commit; the unique constraint on open commands, immediately.
        BotCommand.objects.filter(bot=bot, kind__in=LIFECYCLE, closed_at=None).update(
            closed_at=now, superseded_by=command if view.is_in_progress else None
        )
    command.save(force_insert=True)
    return command


def _record_ends(views: Sequence[BotView], kind: CommandKind, *, now: datetime) -> list[BotCommand]:
    """As `_record`, with a constant number of statements for any number of bots."""
    commands = [_new_command(view, kind, now=now, expires_after=LIFECYCLE_EXPIRES_AFTER) for view in views]
    superseded = []
    for view, command in zip(views, commands, strict=True):
        if view.latest is not None and view.is_in_progress:
            view.latest.closed_at, view.latest.superseded_by = now, command
            superseded.append(view.latest)
    BotCommand.objects.bulk_update(superseded, ["closed_at", "superseded_by"])
    open_commands = BotCommand.objects.filter(bot__in=[view.bot for view in views], kind__in=LIFECYCLE, closed_at=None)
    open_commands.update(closed_at=now)
    return BotCommand.objects.bulk_create(commands)


def _new_command(
    view: BotView,
    kind: CommandKind,
    *,
    now: datetime,
    expires_after: timedelta,
    arguments: dict[str, Any] | None = None,
) -> BotCommand:
    return BotCommand(
        id=new_id(),
        bot=view.bot,
        user_id=view.bot.user_id,
        kind=kind,
        arguments=arguments or {},
        requested_at=now,
        expires_at=now + expires_after,
    )
