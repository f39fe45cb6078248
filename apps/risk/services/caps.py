"""Changes caps, and records the beginning of a user's live trading."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from apps.core.identity.assurance import Assurance
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.messages.risk import CapsChanged
from apps.risk.caps import Caps, asset_name, caps_own
from apps.risk.gates import refuse_unmet_gates
from apps.risk.models.caps import Cap, LiveBeginning
from apps.risk.models.halts import HaltScope
from apps.risk.services.locks import hold_alone


@transaction.atomic
def caps_change(
    *,
    user_id: UUID,
    bot_id: UUID | None,
    asset: str,
    changes: dict[str, Decimal],
    assurance: Assurance,
    now: datetime,
) -> Caps:
    """Sets caps of all live bots, or of one. To lower them needs nothing; to raise any needs the gates of live trading.

    The user's lock is held: two changes follow each other, and a lowered cap holds for every order decided after the
    commit. Raises LiveGateUnmet.
    """
    hold_alone(HaltScope.USER, user_id)
    asset = asset_name(asset)
    before = caps_own(user_id=user_id, bot_id=bot_id, asset=asset)
    after = Caps(**(asdict(before) | changes))
    if after.exceeds(before):
        refuse_unmet_gates(Mode.LIVE, act="Raising a cap", assurance=assurance, now=now)
    if after == before:
        return after
    Cap.objects.update_or_create(
        user_id=user_id, bot_id=bot_id, asset=asset, defaults={**asdict(after), "changed_at": now}
    )
    publish(
        CapsChanged(
            user_id=user_id,
            bot_id=bot_id,
            asset=asset,
            **asdict(after),
            is_raised=after.exceeds(before),
            changed_at=now,
        ),
        now=now,
    )
    return after


def live_beginning_record(*, user_id: UUID, now: datetime) -> None:
    """Records the first live start of a user, in the caller's transaction. Later ones change nothing."""
    LiveBeginning.objects.get_or_create(user_id=user_id, defaults={"began_at": now})
