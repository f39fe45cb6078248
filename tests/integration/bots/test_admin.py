"""The staff site shows bots read-only."""

from uuid import uuid4

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Bot
from apps.bots.services.commands import bot_start
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from tests.factories.accounts import UserFactory
from tests.factories.bots import Story
from tests.integration.bots.conftest import World

pytestmark = [pytest.mark.django_db, pytest.mark.urls("staff_site.urls")]

load_consumers()

# What the live stream keeps for itself has no page: its rows are events again, and short-lived.
MODELS = [
    model._meta.model_name
    for model in apps.get_app_config("bots").get_models()
    if model.__module__ != "apps.bots.models.stream"
]


@pytest.fixture
def staff() -> Client:
    user: User = UserFactory.create(roles=["admin"])
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def lived(world: World, bot: Bot) -> Bot:
    """A bot with a row in every table."""
    bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
    story = Story(bot_id=bot.id, user_id=bot.user_id)
    order = story.order("open", order_id=uuid4())
    for envelope in (story.started(), story.traded("buy"), story.account_traded("buy"), story.abandoned(), order):
        deliver(envelope, group=READ_MODELS)
    deliver(story.failed(is_final=False), group=ALERTS)
    return bot


@pytest.mark.parametrize("model", MODELS)
def test_lists_and_details_are_shown(staff: Client, lived: Bot, model: str) -> None:
    listed = staff.get(reverse(f"admin:bots_{model}_changelist"))
    assert listed.status_code == 200
    row = apps.get_model("bots", model)._default_manager.get()
    assert str(row.pk) in listed.content.decode()

    detail = staff.get(reverse(f"admin:bots_{model}_change", args=[row.pk]))
    assert detail.status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_nothing_can_be_added_changed_or_deleted(staff: Client, lived: Bot, model: str) -> None:
    row = apps.get_model("bots", model)._default_manager.get()
    for name, args in (("add", []), ("change", [row.pk]), ("delete", [row.pk])):
        assert staff.post(reverse(f"admin:bots_{model}_{name}", args=args)).status_code == 403
    assert apps.get_model("bots", model)._default_manager.count() == 1


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_found_by_id(staff: Client, lived: Bot, model: str) -> None:
    url = reverse(f"admin:bots_{model}_changelist")
    row = apps.get_model("bots", model)._default_manager.get()
    assert str(row.pk) in staff.get(url, {"q": str(row.pk)}).content.decode()
    assert staff.get(url, {"q": "no such thing"}).status_code == 200
