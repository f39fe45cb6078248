"""Another user's objects: each call whose path names one answers as if there were no such thing."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import Passkey, User
from apps.accounts.services.machine_keys import machine_key_create
from apps.bots.consumers import READ_MODELS
from apps.bots.models import BotCommand
from apps.bots.services.commands import bot_stop
from apps.bots.services.halts import halt_set_by_user
from apps.core.identity.assurance import Assurance
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.ops.access_table import URLS, Call, calls_of
from apps.risk.models.halts import HaltLevel, HaltScope
from service_common.settings.factory import MIDDLEWARE
from tests.factories.accounts import FAST_HASHERS, UserServiceClient, make_user, sign_tokens
from tests.factories.bots import BotFactory, Story
from tests.factories.vault import stored_credential
from tests.integration.access.callers import filled_in

pytestmark = pytest.mark.django_db

load_consumers()


def _command(owner: User) -> dict[str, UUID]:
    bot = BotFactory.create(user_id=owner.id)
    story = Story(bot_id=bot.id, user_id=owner.id)
    deliver(story.started(), group=READ_MODELS)
    command: BotCommand = bot_stop(bot_id=bot.id, user_id=owner.id, now=timezone.now(), manner="stop")
    return {"bot_id": bot.id, "command_id": command.id}


def _order(owner: User) -> dict[str, UUID]:
    bot, order_id = BotFactory.create(user_id=owner.id), uuid4()
    deliver(Story(bot_id=bot.id, user_id=owner.id).order("open", order_id=order_id), group=READ_MODELS)
    return {"order_id": order_id}


def _halt(owner: User) -> dict[str, UUID]:
    halt = halt_set_by_user(
        user_id=owner.id, scope=HaltScope.USER, level=HaltLevel.HALTED, reason="", now=timezone.now()
    )
    return {"halt_id": halt.id}


def _session(owner: User) -> dict[str, UUID]:
    return {"session_id": UserServiceClient(owner).session_id}


def _passkey(owner: User) -> dict[str, UUID]:
    passkey = Passkey.objects.create(
        user=owner,
        credential_id=uuid4().bytes,
        public_key=b"key",
        sign_count=0,
        aaguid=uuid4(),
        is_synced=False,
        name="Mine",
        created_at=timezone.now(),
    )
    return {"passkey_id": passkey.id}


def _machine_key(owner: User) -> dict[str, UUID]:
    new = machine_key_create(
        user_id=owner.id,
        name="Mine",
        scopes=("read",),
        networks=(),
        expires_at=None,
        assurance=Assurance(has_verified_email=True, has_mfa=False, stepped_up_at=None),
        now=timezone.now(),
    )
    return {"key_id": new.row.id}


# How to make what a path names, by its parameters. A path with another one has to be added here.
MAKE: dict[tuple[str, ...], Callable[[User], dict[str, Any]]] = {
    ("bot_id",): lambda owner: {"bot_id": BotFactory.create(user_id=owner.id).id},
    ("bot_id", "command_id"): _command,
    ("halt_id",): _halt,
    ("key_id",): lambda owner: {"key_id": stored_credential(user_id=owner.id).id},
    ("order_id",): _order,
    ("passkey_id",): _passkey,
    ("session_id",): _session,
}
_CALLS = [call for name in URLS for call in calls_of(name) if call.is_owned]
# The same parameter, another thing.
MAKE_AT: dict[str, Callable[[User], dict[str, Any]]] = {"/api/v1/auth/api-keys/{key_id}": _machine_key}
OWNED = [pytest.param(call, id=f"{call.method} {call.path}") for call in _CALLS]
BODIES: dict[str, str] = {
    "PATCH /api/v1/auth/passkeys/{passkey_id}": '{"name": "Mine now"}',
    "PATCH /api/v1/kraken/keys/{key_id}": '{"label": "Mine now"}',
    "POST /api/v1/kraken/keys/{key_id}/rotate": '{"api_key": "abc", "api_secret": "a2V5"}',
}


@pytest.fixture(autouse=True)
def _services(settings: Settings, market_of_its_own: None) -> None:
    settings.PASSWORD_HASHERS = FAST_HASHERS
    settings.MIDDLEWARE = MIDDLEWARE
    sign_tokens(settings)


def answer_of(call: Call, user: User, ids: dict[str, Any]) -> Any:
    body = BODIES.get(f"{call.method} {call.path}", "{}")
    more: dict[str, Any] = {} if call.method == "GET" else {"data": body, "content_type": "application/json"}
    return UserServiceClient(user).generic(call.method, filled_in(call.path, **ids), **more)


@pytest.mark.parametrize("call", OWNED)
def test_anothers_object_is_answered_as_one_that_there_is_not(call: Call, settings: Settings) -> None:
    settings.ROOT_URLCONF = URLS[call.service]
    owner, stranger = make_user(email_verified_at=timezone.now()), make_user(roles=["trader", "admin"])
    names = tuple(part.strip("{}") for part in call.path.split("/") if part.startswith("{"))
    make = MAKE_AT.get(call.path) or MAKE.get(names)
    assert make, f"say in MAKE how to make the object of {names}"
    ids = make(owner)

    anothers, nothing = answer_of(call, stranger, ids), answer_of(call, stranger, dict.fromkeys(ids, uuid4()))

    assert (anothers.status_code, nothing.status_code) == (404, 404)
    assert [anothers.json()["error"][part] for part in ("code", "message", "details")] == [
        nothing.json()["error"][part] for part in ("code", "message", "details")
    ]
    # The object was there, and still is: its owner finds it.
    assert answer_of(call, owner, ids).status_code != 404
