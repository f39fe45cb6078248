"""Validation rules of a bot's definition."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from apps.bots.adapters import (
    Credential,
    PairRules,
    credential_find,
    interval_check,
    is_delisted,
    pair_rules,
    pair_rules_kept,
)
from apps.bots.errors import (
    BudgetTooSmall,
    CredentialNotActive,
    InvalidLimits,
    KeyLacksRights,
    UnknownCredential,
    UnknownPair,
    WrongMode,
)
from apps.core.money import plain
from apps.core.terms import Mode
from apps.messages.bots import BotConfig, RiskLimits
from apps.risk.caps import refuse_budget_above_cap
from apps.strategies.base import Strategy
from apps.strategies.registry import strategy_get


def check_credential(*, credential_id: UUID, user_id: UUID, mode: Mode | None) -> Credential:
    """Checks and returns the key of a bot. Raises UnknownCredential, CredentialNotActive, WrongMode."""
    credential = check_credential_known(credential_id=credential_id, user_id=user_id)
    if not credential.is_active:
        raise CredentialNotActive("The exchange key is not active.", credential_id=str(credential_id))
    if mode is not None and credential.mode != mode:
        raise WrongMode(f"A {mode} bot cannot trade with a {credential.mode} key.", credential_id=str(credential_id))
    return credential


def check_credential_known(*, credential_id: UUID, user_id: UUID) -> Credential:
    """The user's key, active or not. Raises UnknownCredential."""
    credential = credential_find(credential_id=credential_id, user_id=user_id)
    if credential is None:
        raise UnknownCredential("There is no such exchange key.", credential_id=str(credential_id))
    return credential


def check_pair(pair: str, *, mode: Mode, now: datetime) -> PairRules:
    """The pair's rules on the exchange of that mode. May call the exchange: call it before taking a lock.

    Raises UnknownPair, MarketDataUnavailable.
    """
    rules = pair_rules(pair=pair, mode=mode, now=now)
    if rules is None:
        raise UnknownPair(f"The {mode} exchange does not trade {pair}.", pair=pair)
    return rules


def check_interval(pair: str, *, interval_minutes: int, mode: Mode, now: datetime) -> None:
    """Raises UnknownPair, MarketDataUnavailable, IntervalNotOffered. It may call the exchange."""
    rules = check_pair(pair, mode=mode, now=now)
    interval_check(pair=rules.pair, interval_minutes=interval_minutes, mode=mode, now=now)


def check_still_listed(pair: str, *, mode: Mode) -> None:
    """Checks against the stored instruments. Raises UnknownPair."""
    if is_delisted(pair=pair, mode=mode):
        raise UnknownPair(f"The {mode} exchange does not trade {pair} any more.", pair=pair)


def check_parameters(strategy: str, parameters: dict[str, Any]) -> Strategy:
    """Validates the parameters and fills in defaults. Raises UnknownStrategy, InvalidParameters."""
    return strategy_get(strategy).read(parameters)


def check_budget(quote_budget: Decimal, *, rules: PairRules, parameters: Strategy) -> None:
    """Raises BudgetTooSmall if the budget is below one order of the pair or of the strategy."""
    asset = rules.quote_asset
    if quote_budget < rules.cost_minimum:
        raise BudgetTooSmall(
            f"An order on {rules.pair} costs at least {plain(rules.cost_minimum)} {asset}; the budget is less.",
            minimum=plain(rules.cost_minimum),
            asset=asset,
        )
    quote_amount: Decimal | None = getattr(parameters, "quote_amount", None)
    if quote_amount is None:
        return
    if quote_amount > quote_budget:
        raise BudgetTooSmall(
            f"The strategy spends {plain(quote_amount)} {asset} at once; the budget is less.",
            minimum=plain(quote_amount),
            asset=asset,
        )
    if quote_amount < rules.cost_minimum:
        raise BudgetTooSmall(
            f"An order on {rules.pair} costs at least {plain(rules.cost_minimum)} {asset}; the strategy spends less.",
            minimum=plain(rules.cost_minimum),
            asset=asset,
        )


def check_risk(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The limits `before` with `changes`, every one filled in, as JSON. Raises InvalidLimits."""
    try:
        limits = RiskLimits.model_validate(before | changes)
    except ValidationError as error:
        problems = {".".join(map(str, item["loc"])): item["msg"] for item in error.errors()}
        name, reason = next(iter(problems.items()))
        raise InvalidLimits(f"risk: {name}: {reason}.", limits=problems) from None
    return limits.model_dump(mode="json")


def check_caps(config: BotConfig, *, bot_id: UUID, user_id: UUID, now: datetime) -> None:
    """Before a start. Raises CapExceeded for a live bot whose budget is above its cap."""
    rules = pair_rules_kept(pair=config.pair, mode=config.mode)
    if rules is not None:
        refuse_budget_above_cap(
            config.mode,
            user_id=user_id,
            bot_id=bot_id,
            asset=rules.quote_asset,
            quote_budget=config.quote_budget,
            now=now,
        )


def check_rights(credential: Credential) -> None:
    """Before a start. Raises KeyLacksRights."""
    if credential.missing_rights:
        names = ", ".join(credential.missing_rights)
        raise KeyLacksRights(
            f"The exchange key lacks rights that bots need: {names}. Add them at the exchange, then test the key.",
            credential_id=str(credential.id),
            rights=list(credential.missing_rights),
        )
