"""Each call that changes something leaves its event, with who did it; one that leaves none says why."""

import json
from collections.abc import Iterator
from types import ModuleType

import pytest
from pytest_django import Settings

from apps.accounts import kraken_service as accounts_kraken_service
from apps.core.models import IdempotencyRecord
from apps.events.consumers.registry import load_consumers
from apps.events.models import StoredEvent
from apps.ops.access_table import URLS, Call, calls_of
from service_common.settings.factory import MIDDLEWARE
from tests.factories.accounts import FAST_HASHERS, sign_tokens
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_exchange import FakeExchange
from tests.factories.live import live_trading
from tests.integration.access.callers import filled_in
from tests.integration.access.mutations import kraken_service, user_service
from tests.integration.access.mutations.mutation import Mutation, Place
from tests.integration.accounts.passkeys.ceremonies import ORIGIN
from tests.integration.bots.conftest import World, world  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db

load_consumers()

# Called by processes of the platform, not by people.
OF_SERVICES = "service"


def mutations_in(module: ModuleType) -> Iterator[Mutation]:
    for value in vars(module).values():
        if isinstance(value, Mutation):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, Mutation))


MUTATIONS = {"user": list(mutations_in(user_service)), "kraken": list(mutations_in(kraken_service))}
ALL = [pytest.param(service, each, id=each.call) for service, found in MUTATIONS.items() for each in found]


@pytest.fixture
def place(settings: Settings, monkeypatch: pytest.MonkeyPatch, world: World, market_of_its_own: None) -> Place:  # noqa: F811
    settings.PASSWORD_HASHERS = FAST_HASHERS
    settings.MIDDLEWARE = MIDDLEWARE
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"public_url": ORIGIN})
    sign_tokens(settings)
    live_trading(settings, True)
    # Over HTTP these are asked of the kraken service, which does not run here: a user without bots and keys.
    monkeypatch.setattr(accounts_kraken_service, "closure_holdings", lambda **_: [])
    monkeypatch.setattr(accounts_kraken_service, "closure_step", lambda **_: [])
    return Place(world, use_fake_exchange(monkeypatch, FakeExchange()))


def mutating(service: str) -> list[Call]:
    changing = [call for call in calls_of(service) if call.method != "GET" and call.path.startswith("/api/v1/")]
    return [call for call in changing if call.access and call.access.title != OF_SERVICES]


@pytest.mark.parametrize("service", MUTATIONS)
def test_every_mutating_call_is_known_here(service: str) -> None:
    assert {f"{call.method} {call.path}" for call in mutating(service)} == {each.call for each in MUTATIONS[service]}


@pytest.mark.parametrize(("service", "mutation"), ALL)
def test_a_mutation_leaves_its_event_with_its_actor(
    service: str, mutation: Mutation, place: Place, settings: Settings
) -> None:
    settings.ROOT_URLCONF = URLS[service]
    asked = mutation.prepare(place)
    before = set(StoredEvent.objects.values_list("event_id", flat=True))

    method, path = mutation.call.split()
    answer = asked.client.generic(
        method,
        filled_in(path, **(asked.ids or {})),
        json.dumps(asked.body) if asked.body is not None else "",
        content_type="application/json",
        headers={"Idempotency-Key": "once"},
    )

    assert 200 <= answer.status_code < 300, answer.content
    new = StoredEvent.objects.exclude(event_id__in=before)
    types = {event.event_type for event in new}
    if mutation.why_none:
        assert types == set()
        return
    assert mutation.events <= types
    for event in new:
        assert event.actor, f"{event.event_type} does not say who did it"
        if asked.actor is not None:
            assert str(asked.actor) in str(event.actor)


def test_a_mutation_that_is_repeated_with_its_key_leaves_no_second_event(place: Place, settings: Settings) -> None:
    settings.ROOT_URLCONF = URLS["kraken"]
    asked = kraken_service.create_bot.prepare(place)
    for _ in range(2):
        answer = asked.client.post("/api/v1/bot", asked.body, headers={"Idempotency-Key": "once"})
        assert answer.status_code == 201
    assert StoredEvent.objects.filter(event_type="bot.created").count() == 1
    assert IdempotencyRecord.objects.count() == 1
