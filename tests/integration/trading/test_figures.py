"""What the reconciler tells Prometheus of the database, read as its own role."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY

from apps.exchange.limits import MICRO
from apps.exchange.models import ExchangeBudget, ExchangeNonce
from apps.risk.models.accounts import Account, AccountAsset
from apps.trading.figures import read_figures
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from tests.factories.trading import NOW, fake_exchange, mark_sending, planned_order

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_the_bot_service() -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


def read_as_bot_service() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE bot_service")
    read_figures()


def value(name: str, **labels: str) -> Any:
    return REGISTRY.get_sample_value(name, labels)


def test_orders_are_told_by_state_with_the_age_of_the_oldest() -> None:
    planned = planned_order(fake_exchange())
    mark_sending(planned)
    sent_at = timezone.now() - timedelta(minutes=5)
    OrderIntent.objects.filter(id=planned.intent.id).update(sent_at=sent_at)

    read_as_bot_service()

    assert value("orders", mode="paper", state="sending") == 1
    assert value("orders_oldest_age_seconds", mode="paper", state="sending") == pytest.approx(300, abs=60)
    # A state without orders has a value too: an alert that lacks one would never fire, and never end.
    assert value("orders", mode="live", state="unknown") == 0
    assert value("orders_oldest_age_seconds", mode="live", state="unknown") == 0


def test_runs_drifts_keys_and_budgets_are_told() -> None:
    planned = planned_order(fake_exchange())
    BotRun.objects.filter(id=planned.run.id).update(trouble_code="exchange_unavailable")
    account, _ = Account.objects.get_or_create(
        credential_id=planned.run.credential_id, defaults={"user_id": planned.run.user_id}
    )
    AccountAsset.objects.update_or_create(
        account=account,
        asset="ZUSD",
        defaults={"drift_since": timezone.now() - timedelta(hours=1), "drift_expected": 1, "drift_found": 2},
    )
    now = int(timezone.now().timestamp()) * MICRO
    ExchangeBudget.objects.create(key_digest="a", scope="", points=15 * MICRO, counted_at=now, blocked_until=2 * now)
    refused: dict[str, Any] = {"last_nonce": 1, "used_at": NOW, "refused_code": "key_invalid", "refused_at": NOW}
    ExchangeNonce.objects.create(key_digest="a", **refused)
    ExchangeNonce.objects.create(key_digest="b", refused_until=NOW, **refused)

    read_as_bot_service()

    assert value("bot_runs", mode="paper", state="running") == 1
    assert value("bot_runs_in_trouble", mode="paper") == 1
    assert value("account_drifts") == 1
    assert value("account_drift_oldest_age_seconds") == pytest.approx(3600, abs=60)
    assert value("exchange_budget_left_ratio", scope="key") == pytest.approx(0, abs=0.4)
    assert value("exchange_budget_left_ratio", scope="pair") == 1
    assert value("exchange_keys_paused") == 1
    # The lock of the other one has ended.
    assert value("exchange_keys_refused") == 1
