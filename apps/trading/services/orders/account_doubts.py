"""Orders that keep an account from being compared: those in flight, and those that wait for a person."""

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet

from apps.exchange.types import ZERO
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import DOUBTFUL_STATES, IntentState
from apps.trading.models.orders import OrderIntent


def in_flight(credential_id: UUID) -> QuerySet[OrderIntent]:
    """Orders of the key of which it is not known, for seconds or minutes, whether the exchange has them."""
    states = {IntentState.PLANNED.value, *DOUBTFUL_STATES} - {IntentState.NEEDS_HUMAN.value}
    return OrderIntent.objects.filter(credential_id=credential_id, state__in=states)


def waiting_for_a_person(credential_id: UUID) -> QuerySet[OrderIntent]:
    return OrderIntent.objects.filter(credential_id=credential_id, state=IntentState.NEEDS_HUMAN)


def doubts_of(credential_id: UUID) -> Mapping[str, Decimal]:
    """By asset: the most that orders which wait for a person may have taken; ZERO of what they may have brought."""
    doubts: dict[str, Decimal] = {}
    for intent in waiting_for_a_person(credential_id):
        position = Position.objects.get(bot_id=intent.bot_id, credential_id=credential_id, pair=intent.pair)
        for asset, taken in (
            (position.base_asset, intent.reserved_base),
            (position.quote_asset, intent.reserved_quote),
        ):
            doubts[asset] = doubts.get(asset, ZERO) + taken
    return doubts
