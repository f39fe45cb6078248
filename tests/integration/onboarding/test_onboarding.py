"""Onboarding: steps in order, repeatable, checked against the event store, completed once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.events.models import OutboxRow, StoredEvent
from apps.events.store.publish import dispatch, publish
from apps.messages.bots import BotConfig, StartBot
from apps.messages.kraken import KrakenKeyConnected, KrakenKeyDisconnected
from apps.onboarding.models import Onboarding, OnboardingStep
from apps.onboarding.selectors import TERMS_VERSION
from tests.factories.accounts import UserServiceClient, make_user

pytestmark = pytest.mark.django_db

PATH = "/api/v1/onboarding"
PROFILE = {"country": "DE", "experience": "some", "is_adult": True}
TERMS = {"version": TERMS_VERSION, "accepted": True}
RISK = {"acceptable_loss_percent": 20, "horizon": "months", "reaction": "hold"}


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def mine(user: User) -> UserServiceClient:
    return UserServiceClient(user)


def _connect_key(user_id: UUID) -> UUID:
    credential_id = uuid4()
    with transaction.atomic():
        publish(
            KrakenKeyConnected(credential_id=credential_id, user_id=user_id, mode="paper", permissions=()),
            now=timezone.now(),
        )
    return credential_id


def _start_bot(user_id: UUID, credential_id: UUID) -> UUID:
    now, bot_id = timezone.now(), uuid4()
    config = BotConfig.model_validate(
        {
            "name": "first",
            "mode": "paper",
            "credential_id": credential_id,
            "pair": "XBT/USD",
            "strategy": "sma_cross",
            "parameters": {},
            "interval_minutes": 60,
            "quote_budget": "100",
            "version": 1,
        }
    )
    command = StartBot(
        command_id=uuid4(), bot_id=bot_id, user_id=user_id, config=config, requested_at=now, expires_at=now
    )
    with transaction.atomic():
        dispatch(command, now=now)
    return bot_id


def _do(client: UserServiceClient, step: str, answer: dict[str, Any]) -> Any:
    return client.post(f"{PATH}/{step}", answer)


def _up_to_key(client: UserServiceClient) -> None:
    for step, answer in (("profile", PROFILE), ("terms", TERMS), ("risk_profile", RISK)):
        assert _do(client, step, answer).status_code == 200


def _completed_events() -> int:
    return StoredEvent.objects.filter(event_type="onboarding.completed").count()


def test_a_new_user_stands_at_the_first_step_and_reading_writes_nothing(mine: UserServiceClient) -> None:
    body = mine.get(PATH).json()

    assert body["current"] == "profile"
    assert (body["completed_at"], body["terms_version"]) == (None, TERMS_VERSION)
    assert [(step["name"], step["state"]) for step in body["steps"]] == [
        ("profile", "current"),
        ("terms", "waiting"),
        ("risk_profile", "waiting"),
        ("exchange_key", "waiting"),
        ("first_bot", "waiting"),
    ]
    assert Onboarding.objects.count() == 0


def test_the_whole_way_is_announced_once(mine: UserServiceClient, user: User) -> None:
    _up_to_key(mine)
    credential_id = _connect_key(user.id)
    assert _do(mine, "exchange_key", {"credential_id": str(credential_id)}).json()["current"] == "first_bot"
    assert _completed_events() == 0

    last = _do(mine, "first_bot", {"bot_id": str(_start_bot(user.id, credential_id))})

    assert (last.status_code, last.json()["current"]) == (200, None)
    assert last.json()["completed_at"] is not None
    assert {step["state"] for step in last.json()["steps"]} == {"done"}
    (event,) = StoredEvent.objects.filter(event_type="onboarding.completed")
    assert event.user_id == user.id
    assert OutboxRow.objects.get(event_id=event.event_id).destination == "onboarding.events"
    assert mine.get(PATH).json() == last.json()


def test_it_goes_on_where_it_was_left(mine: UserServiceClient, user: User) -> None:
    _do(mine, "profile", PROFILE)

    body = UserServiceClient(user).get(PATH).json()

    assert body["current"] == "terms"
    assert body["steps"][0]["answer"] == PROFILE


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("terms", TERMS),
        ("risk_profile", RISK),
        ("exchange_key", {"credential_id": str(uuid4())}),
        ("first_bot", {"bot_id": str(uuid4())}),
    ],
)
def test_a_step_too_early_is_a_conflict_that_names_the_next(
    mine: UserServiceClient, step: str, answer: dict[str, Any]
) -> None:
    refused = _do(mine, step, answer)

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "step_out_of_order")
    assert refused.json()["error"]["details"] == {"next_step": "profile"}
    assert OnboardingStep.objects.count() == 0


def test_a_step_can_be_done_over_until_the_end(mine: UserServiceClient) -> None:
    _up_to_key(mine)

    again = _do(mine, "profile", {**PROFILE, "country": "FR"})

    assert again.status_code == 200
    assert again.json()["current"] == "exchange_key"
    assert again.json()["steps"][0]["answer"]["country"] == "FR"
    assert OnboardingStep.objects.count() == 3


def test_what_was_said_stays_said_after_the_end(mine: UserServiceClient, user: User) -> None:
    _up_to_key(mine)
    credential_id = _connect_key(user.id)
    _do(mine, "exchange_key", {"credential_id": str(credential_id)})
    bot = {"bot_id": str(_start_bot(user.id, credential_id))}
    _do(mine, "first_bot", bot)

    for step, answer in (("profile", {**PROFILE, "country": "FR"}), ("first_bot", bot)):
        refused = _do(mine, step, answer)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "onboarding_already_completed")
    assert OnboardingStep.objects.get(name="profile").answer["country"] == "DE"
    assert _completed_events() == 1


def test_the_risk_profile_is_computed_and_shown(mine: UserServiceClient) -> None:
    _up_to_key(mine)

    assert mine.get(PATH).json()["steps"][2]["answer"] == {**RISK, "profile": "balanced"}


def test_hyphens_in_the_path_are_as_good(mine: UserServiceClient) -> None:
    _do(mine, "profile", PROFILE)
    _do(mine, "terms", TERMS)

    assert _do(mine, "risk-profile", RISK).status_code == 200


def test_old_terms_are_refused_with_the_version_in_force(mine: UserServiceClient) -> None:
    _do(mine, "profile", PROFILE)

    refused = _do(mine, "terms", {"version": "2018-01", "accepted": True})

    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "terms_outdated")
    assert refused.json()["error"]["details"] == {"terms_version": TERMS_VERSION}
    assert mine.get(PATH).json()["current"] == "terms"


def test_a_key_counts_only_if_it_is_connected_and_ones_own(mine: UserServiceClient, user: User) -> None:
    _up_to_key(mine)
    disconnected = _connect_key(user.id)
    with transaction.atomic():
        publish(
            KrakenKeyDisconnected(credential_id=disconnected, user_id=user.id, reason="removed"), now=timezone.now()
        )

    for credential_id in (uuid4(), _connect_key(uuid4()), disconnected):
        refused = _do(mine, "exchange_key", {"credential_id": str(credential_id)})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "exchange_key_not_connected")
    assert mine.get(PATH).json()["current"] == "exchange_key"


def test_a_bot_counts_only_if_it_was_started_and_ones_own(mine: UserServiceClient, user: User) -> None:
    _up_to_key(mine)
    credential_id = _connect_key(user.id)
    _do(mine, "exchange_key", {"credential_id": str(credential_id)})

    for bot_id in (uuid4(), _start_bot(uuid4(), credential_id)):
        refused = _do(mine, "first_bot", {"bot_id": str(bot_id)})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bot_not_started")
    assert _completed_events() == 0


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("profile", {}),
        ("profile", {**PROFILE, "country": "Germany"}),
        ("profile", {**PROFILE, "is_adult": False}),
        ("terms", {**TERMS, "accepted": False}),
        ("risk_profile", {**RISK, "acceptable_loss_percent": 101}),
        ("risk_profile", {**RISK, "horizon": "never"}),
        ("exchange_key", {"credential_id": "x"}),
        ("first_bot", {"bot_id": None}),
    ],
)
def test_a_malformed_answer_is_a_400(mine: UserServiceClient, step: str, answer: dict[str, Any]) -> None:
    assert _do(mine, step, answer).status_code == 400
    assert OnboardingStep.objects.count() == 0


def test_a_step_that_does_not_exist_is_a_404_that_names_those_that_do(mine: UserServiceClient) -> None:
    refused = _do(mine, "party", {})

    assert refused.status_code == 404
    assert "profile, terms, risk_profile, exchange_key, first_bot" in refused.json()["error"]["message"]


def test_everybody_has_a_way_of_their_own(mine: UserServiceClient) -> None:
    _do(mine, "profile", PROFILE)

    assert UserServiceClient(make_user()).get(PATH).json()["current"] == "profile"


@pytest.mark.django_db(transaction=True)
def test_the_last_step_many_times_at_once_completes_once() -> None:
    user = make_user()
    mine = UserServiceClient(user)
    _up_to_key(mine)
    credential_id = _connect_key(user.id)
    _do(mine, "exchange_key", {"credential_id": str(credential_id)})
    bot = {"bot_id": str(_start_bot(user.id, credential_id))}
    at_once = 6
    start = threading.Barrier(at_once)
    clients = [UserServiceClient(user) for _ in range(at_once)]

    def finish(client: UserServiceClient) -> int:
        start.wait()
        try:
            return int(_do(client, "first_bot", bot).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(at_once) as pool:
        statuses = sorted(pool.map(finish, clients))

    assert statuses == [200] + [409] * (at_once - 1)
    assert _completed_events() == 1
