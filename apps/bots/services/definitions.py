"""Bot definitions. A run keeps the version of the definition that it was started with."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from apps.bots.adapters import PairRules
from apps.bots.errors import BotChangedMeanwhile, BotHoldsPosition, BotInUse, BotReportsPending, TooManyBots
from apps.bots.models import Bot
from apps.bots.rules import check_budget, check_credential, check_interval, check_pair, check_parameters, check_risk
from apps.bots.selectors.bots import BotView, bot_get, bot_get_for_update, bot_view, has_run
from apps.bots.selectors.reports import bots_with_unread_reports
from apps.bots.services.commands import dispatch_deletion
from apps.core.errors import FieldIsImmutable
from apps.core.money import plain
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.messages.definitions import BotChanged, BotCreated, BotDeleted
from apps.risk.caps import refuse_budget_above_cap
from apps.risk.live_trading import refuse_live_trading

CHANGEABLE = ("name", "credential_id", "pair", "strategy", "parameters", "interval_minutes", "quote_budget", "risk")
# Once a bot has run, its orders and coins are on this account and this market.
FIXED_ONCE_RUN = ("credential_id", "pair")
MAX_NAME = 80


def bot_create(
    *,
    user_id: UUID,
    name: str,
    credential_id: UUID,
    pair: str,
    strategy: str,
    parameters: dict[str, Any],
    interval_minutes: int,
    quote_budget: Decimal,
    now: datetime,
    mode: Mode | None = None,
    risk: dict[str, Any] | None = None,
) -> Bot:
    """Creates a bot, not running. `quote_budget` is in the pair's quote asset. `mode` defaults to the key's mode.

    `risk` has limits that differ from the defaults (RiskLimits).

    Raises UnknownCredential, CredentialNotActive, WrongMode, UnknownPair, MarketDataUnavailable, UnknownStrategy,
    InvalidParameters, BudgetTooSmall, InvalidLimits, LiveTradingDisabled, CapExceeded, TooManyBots.
    """
    credential = check_credential(credential_id=credential_id, user_id=user_id, mode=mode)
    refuse_live_trading(credential.mode)
    rules = check_pair(pair, mode=credential.mode, now=now)
    checked = check_parameters(strategy, parameters)
    check_budget(quote_budget, rules=rules, parameters=checked)
    refuse_budget_above_cap(
        credential.mode, user_id=user_id, bot_id=None, asset=rules.quote_asset, quote_budget=quote_budget, now=now
    )
    with transaction.atomic():
        _refuse_one_more(user_id)
        bot = Bot.objects.create(
            user_id=user_id,
            name=name,
            credential_id=credential_id,
            mode=credential.mode,
            pair=rules.pair,
            strategy=strategy,
            parameters=checked.as_json(),
            interval_minutes=interval_minutes,
            quote_budget=quote_budget,
            risk=check_risk({}, risk or {}),
            created_at=now,
            updated_at=now,
        )
        publish(
            BotCreated(
                bot_id=bot.id,
                user_id=user_id,
                credential_id=credential_id,
                mode=credential.mode,
                pair=bot.pair,
                strategy=strategy,
                quote_budget=quote_budget,
                created_at=now,
            ),
            now=now,
        )
    return bot


def _refuse_one_more(user_id: UUID) -> None:
    """Raises TooManyBots. Others that make a bot of this user wait until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"bots of {user_id}"])
    bots = Bot.objects.filter(user_id=user_id, deleted_at=None).count()
    if bots >= settings.BOTS_PER_USER:
        raise TooManyBots(
            f"You have {bots} bots, and {settings.BOTS_PER_USER} are allowed. Delete one first.",
            bots=bots,
            limit=settings.BOTS_PER_USER,
        )


def bot_clone(*, bot_id: UUID, user_id: UUID, changes: dict[str, Any], now: datetime) -> Bot:
    """Creates a bot with the values of another, but for `changes`. It has neither run nor coins; its mode is its key's.

    A new strategy without parameters gets its defaults. Raises BotNotFound, and what bot_create raises.
    """
    return bot_create(user_id=user_id, now=now, **_cloned(bot_id, user_id, changes))


def clone_check_market(*, bot_id: UUID, user_id: UUID, changes: dict[str, Any], now: datetime) -> None:
    """As new_bot_check_market, for the bot that bot_clone would make. Raises BotNotFound as well."""
    values = {"mode": None} | _cloned(bot_id, user_id, changes)
    needed = {name: values[name] for name in ("credential_id", "pair", "interval_minutes", "mode")}
    new_bot_check_market(user_id=user_id, now=now, **needed)


def _cloned(bot_id: UUID, user_id: UUID, changes: dict[str, Any]) -> dict[str, Any]:
    bot = bot_get(bot_id=bot_id, user_id=user_id)
    values = {field: getattr(bot, field) for field in CHANGEABLE}
    values["name"] = f"{bot.name[: MAX_NAME - 7]} (copy)"
    if changes.get("strategy", bot.strategy) != bot.strategy:
        values["parameters"] = {}
    return values | changes | {"risk": check_risk(bot.risk, changes.get("risk", {}))}


def bot_update(
    *, bot_id: UUID, user_id: UUID, changes: dict[str, Any], now: datetime, expected_version: int | None = None
) -> Bot:
    """Saves a new version of the definition if a field changes. It applies from the next start on.

    A new strategy without parameters gets its defaults. Raises BotNotFound, BotChangedMeanwhile, FieldIsImmutable, and
    what bot_create raises.
    """
    before = bot_get(bot_id=bot_id, user_id=user_id)
    _refuse_immutable(before, changes)
    # Before the lock, as it may call the exchange.
    rules = check_pair(changes.get("pair", before.pair), mode=before.config.mode, now=now)
    with transaction.atomic():
        bot = bot_get_for_update(bot_id=bot_id, user_id=user_id)
        _change(bot, changes=changes, rules=rules, now=now, expected_version=expected_version)
    return bot


def _change(
    bot: Bot, *, changes: dict[str, Any], rules: PairRules, now: datetime, expected_version: int | None
) -> None:
    if expected_version is not None and expected_version != bot.version:
        raise BotChangedMeanwhile(f"The bot is at version {bot.version} by now.", version=bot.version)
    if "pair" in changes:
        changes = {**changes, "pair": rules.pair}
    _refuse_immutable(bot, changes)
    new = {field: changes.get(field, getattr(bot, field)) for field in CHANGEABLE}
    if new["strategy"] != bot.strategy and "parameters" not in changes:
        new["parameters"] = {}
    checked = check_parameters(new["strategy"], new["parameters"])
    new["parameters"] = checked.as_json()
    if new["credential_id"] != bot.credential_id:
        check_credential(credential_id=new["credential_id"], user_id=bot.user_id, mode=bot.config.mode)
    check_budget(new["quote_budget"], rules=rules, parameters=checked)
    if "risk" in changes:
        new["risk"] = check_risk(bot.risk, changes["risk"])
    if new["quote_budget"] > bot.quote_budget:
        refuse_budget_above_cap(
            bot.mode,
            user_id=bot.user_id,
            bot_id=bot.id,
            asset=rules.quote_asset,
            quote_budget=new["quote_budget"],
            now=now,
        )
    changed = [field for field in CHANGEABLE if new[field] != getattr(bot, field)]
    if changed:
        for field in changed:
            setattr(bot, field, new[field])
        bot.version += 1
        bot.updated_at = now
        bot.save(update_fields=[*changed, "version", "updated_at"])
        event = BotChanged(bot_id=bot.id, user_id=bot.user_id, version=bot.version, changed=tuple(changed))
        publish(event, now=now)


def new_bot_check_market(
    *, user_id: UUID, credential_id: UUID, pair: str, interval_minutes: int, mode: Mode | None, now: datetime
) -> None:
    """Whether the key's market has the pair and the interval. Before bot_create: it may call the exchange.

    Raises UnknownCredential, CredentialNotActive, WrongMode, UnknownPair, MarketDataUnavailable, IntervalNotOffered.
    """
    credential = check_credential(credential_id=credential_id, user_id=user_id, mode=mode)
    check_interval(pair, interval_minutes=interval_minutes, mode=credential.mode, now=now)


def bot_check_market(*, bot_id: UUID, user_id: UUID, changes: dict[str, Any], now: datetime) -> None:
    """Whether the bot's market has the pair and the interval that it has after `changes`. It may call the exchange.

    Before bot_update and bot_start. Raises BotNotFound, FieldIsImmutable, UnknownPair, MarketDataUnavailable,
    IntervalNotOffered.
    """
    bot = bot_get(bot_id=bot_id, user_id=user_id)
    _refuse_immutable(bot, changes)
    config = bot.config
    interval_minutes = changes.get("interval_minutes", config.interval_minutes)
    check_interval(changes.get("pair", config.pair), interval_minutes=interval_minutes, mode=config.mode, now=now)


def _refuse_immutable(bot: Bot, changes: dict[str, Any]) -> None:
    """Raises FieldIsImmutable, with `clone` in its details. The trigger of the table asks the same."""
    clone = f"/api/v1/bot/{bot.id}/clone"
    if "mode" in changes and changes["mode"] != bot.mode:
        raise FieldIsImmutable(
            "A bot's mode cannot change. Clone the bot with a key of the other mode.",
            field="mode",
            how=f"POST {clone} with a key of the other mode makes a bot of that mode.",
            clone=clone,
        )
    for field in FIXED_ONCE_RUN:
        if field in changes and changes[field] != getattr(bot, field) and has_run(bot):
            what = "key" if field == "credential_id" else field
            raise FieldIsImmutable(
                f"The {what} of a bot that has run cannot change: its orders and coins are there. Clone the bot with "
                f"another {what}.",
                field=field,
                how=f"POST {clone} with another {what} makes a bot with it.",
                clone=clone,
            )


def _refuse_holding(view: BotView, *, now: datetime) -> None:
    """Raises BotHoldsPosition, BotReportsPending."""
    held = view.status.position_volume
    if held > view.dust:
        raise BotHoldsPosition(
            f"The bot holds {plain(held)} {view.status.base_asset}. Flatten it first; or delete it with ?abandon=true, "
            "and the coins stay in the account and belong to no bot.",
            pair=view.bot.pair,
            base_asset=view.status.base_asset,
            volume=plain(held),
            position_cost=plain(view.status.position_cost),
            quote_asset=view.status.quote_asset,
        )
    if bots_with_unread_reports(bot_ids=[view.bot.id], now=now):
        raise BotReportsPending("The bot's latest reports are still on their way. Try again in a moment.")


@transaction.atomic
def bot_delete(*, bot_id: UUID, user_id: UUID, now: datetime, abandon: bool = False) -> None:
    """Soft-deletes the bot; its trades and events stay. With `abandon` the coins it holds are given up to the account.

    What is below the market's smallest order is given up in any case: it cannot be sold. Raises BotNotFound, BotInUse,
    BotHoldsPosition, BotReportsPending.
    """
    bot = bot_get_for_update(bot_id=bot_id, user_id=user_id)
    view = bot_view(bot, now=now)
    if view.is_at_work:
        raise BotInUse(f"The bot is {view.state}. Stop it first.", state=view.state)
    if view.open_orders:
        raise BotInUse("Orders of the bot are open on the exchange. Stop it first.", open_orders=view.open_orders)
    if not abandon:
        _refuse_holding(view, now=now)
    dispatch_deletion(view, now=now, abandon=abandon)
    bot.deleted_at = now
    bot.save(update_fields=["deleted_at"])
    publish(BotDeleted(bot_id=bot.id, user_id=user_id, abandons=abandon), now=now)
