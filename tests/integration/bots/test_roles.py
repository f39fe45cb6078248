"""The database roles of the services have the privileges that the bots' code needs, and no more."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot, BotStatus
from apps.bots.selectors.bots import bot_view
from apps.bots.selectors.command_receipts import command_receipt_of
from apps.bots.selectors.timeline import timeline_of_command
from apps.bots.services.commands import bot_start
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.publish import publish
from apps.messages.base import Event, Status
from tests.factories.bots import Story
from tests.integration.bots.conftest import World
from tests.support.database_roles import as_role

pytestmark = pytest.mark.django_db

load_consumers()


def test_the_kraken_service_defines_commands_and_follows_bots(world: World, bot: Bot) -> None:
    now = timezone.now()
    with as_role("kraken_service"):
        command = bot_start(bot_id=bot.id, user_id=bot.user_id, now=now)
        assert command_receipt_of(command, now=now).state == "requested"
        story = Story(bot_id=bot.id, user_id=bot.user_id)
        for envelope in (story.started(), story.traded("buy"), story.account_traded("buy")):
            assert deliver(envelope, group=READ_MODELS)
        assert bot_view(bot, now=now).status.trades == 1
        chain = timeline_of_command(bot_id=bot.id, command_id=command.id, user_id=bot.user_id)
        assert [entry.type for entry in chain] == ["bot.start"]


def test_the_staff_site_rebuilds_the_read_models() -> None:
    story = Story()
    for envelope in (story.started(), story.traded("buy")):
        message = envelope.message()
        assert isinstance(message, Event | Status)
        publish(message, now=envelope.occurred_at, user_id=story.user_id)

    with as_role("staff_site"):
        call_command("replay_events", into="bot-read-models", stdout=StringIO(), stderr=StringIO())
    status = BotStatus.objects.get()
    assert (status.state, status.trades) == ("running", 1)


@pytest.mark.parametrize("role", ["bot_service", "user_service"])
def test_no_other_service_reads_bots(bot: Bot, role: str) -> None:
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute("SELECT name FROM kraken.bot WHERE id = %s", [bot.id])
