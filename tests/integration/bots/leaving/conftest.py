"""A bot on a stored key."""

import pytest

from apps.bots.models import Bot
from apps.vault.models import Credential
from tests.factories.bots import BotFactory, TraderClient
from tests.factories.vault import stored_credential
from tests.integration.bots.conftest import World


@pytest.fixture
def key(trader: TraderClient) -> Credential:
    return stored_credential(user_id=trader.user_id)


@pytest.fixture
def bot(world: World, trader: TraderClient, key: Credential) -> Bot:
    return BotFactory.create(user_id=trader.user_id, credential_id=key.id, name="Keeper")
