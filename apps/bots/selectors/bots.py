"""A bot with its state: definition, last reported status, pending command."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet

from apps.bots.adapters import is_dust, keep_pairs_in_memory
from apps.bots.errors import BotNotFound
from apps.bots.lifecycle import PendingCommand, state_of
from apps.bots.models import Bot, BotCommand, BotOrder, BotState, BotStatus, CommandKind
from apps.bots.models.orders import UNCLEAR_STATES
from apps.bots.position_pnl import ZERO
from apps.bots.selectors.overviews import Overview, overviews
from apps.risk.models.halts import Halt, HaltLevel


@dataclass(frozen=True)
class BotView:
    """`latest` is the latest start, pause, stop or flatten. `is_in_progress` says whether it is not finished.

    `orders` are those that have not ended. `halts` are those in force that cover the bot, by itself or by its key, its
    user or the platform; the strictest first.
    """

    bot: Bot
    status: BotStatus
    state: BotState
    latest: BotCommand | None = None
    is_in_progress: bool = False
    orders: Sequence[BotOrder] = ()
    halts: Sequence[Halt] = ()

    @property
    def open_orders(self) -> list[str]:
        """Client order ids of the orders that have not ended, oldest first."""
        return [order.client_order_id for order in self.orders]

    @property
    def unclear_orders(self) -> list[BotOrder]:
        """Orders of unknown outcome; the bot makes no purchase meanwhile."""
        return [order for order in self.orders if order.state in UNCLEAR_STATES]

    @property
    def dust(self) -> Decimal:
        """The held volume where it is below the smallest order, so that it cannot be sold now; otherwise 0."""
        held = self.status.position_volume
        if held <= 0:
            return ZERO
        average_price = self.status.position_cost / held
        is_below = is_dust(held, pair=self.bot.pair, mode=self.bot.config.mode, otherwise_at=average_price)
        return held if is_below else ZERO

    @property
    def is_at_work(self) -> bool:
        return self.state in (BotState.STARTING, BotState.RUNNING, BotState.STOPPING)


def bot_list(*, user_id: UUID) -> QuerySet[Bot]:
    return Bot.objects.filter(user_id=user_id, deleted_at=None)


def bot_get(*, bot_id: UUID, user_id: UUID) -> Bot:
    """Raises BotNotFound."""
    return _only(bot_list(user_id=user_id).filter(id=bot_id))


def bot_get_for_update(*, bot_id: UUID, user_id: UUID) -> Bot:
    """Locks the bot's row, which serializes concurrent commands to one bot. Raises BotNotFound."""
    return _only(bot_list(user_id=user_id).filter(id=bot_id).select_for_update())


def has_run(bot: Bot) -> bool:
    """Whether the bot may have run: a start of it was asked for, whatever became of it."""
    return BotCommand.objects.filter(bot=bot, kind=CommandKind.START).exists()


def _only(bots: QuerySet[Bot]) -> Bot:
    bot = bots.first()
    if bot is None:
        raise BotNotFound("There is no such bot.")
    return bot


def bot_view_get(*, bot_id: UUID, user_id: UUID, now: datetime) -> BotView:
    """One query. Raises BotNotFound."""
    overview = overviews(bot_ids=[bot_id], owner_id=user_id).get(bot_id)
    if overview is None:
        raise BotNotFound("There is no such bot.")
    return _view(overview, now)


def bot_view(bot: Bot, *, now: datetime) -> BotView:
    return bot_views([bot], now=now)[0]


def bot_views(bots: Sequence[Bot], *, now: datetime) -> list[BotView]:
    """The bots with their states, in the given order. One query for any number of bots."""
    found = overviews(bot_ids=[bot.id for bot in bots])
    return [replace(_view(found[bot.id], now), bot=bot) for bot in bots]


def bot_views_with_dust(bots: Sequence[Bot], *, now: datetime) -> list[BotView]:
    """As `bot_views`, for readers of `dust`: one query more at most."""
    views = bot_views(bots, now=now)
    keep_pairs_in_memory({(each.bot.config.mode, each.bot.pair) for each in views if each.status.position_volume})
    return views


def _view(overview: Overview, now: datetime) -> BotView:
    status, command, pending = overview.status, overview.command, None
    if command is not None:
        execution = overview.execution
        pending = PendingCommand(
            kind=CommandKind(command.kind),
            expires_at=command.expires_at,
            execution=execution.state if execution else None,
            finished_at=execution.finished_at if execution else None,
        )
    return BotView(
        bot=overview.bot,
        status=status,
        state=state_of(reported=BotState(status.state), since=status.since, pending=pending, now=now),
        latest=command,
        is_in_progress=pending is not None and pending.is_in_progress(now),
        orders=overview.orders,
        halts=sorted(overview.halts, key=lambda halt: halt.level != HaltLevel.HALTED),
    )
