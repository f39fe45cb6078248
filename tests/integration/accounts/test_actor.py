"""Events name who caused them; address and user agent stay out of them, and can be erased."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from apps.audit.chains import ChainVerifier
from apps.audit.verification import ALL_EVENTS
from apps.core.identity.actor import client_digest
from apps.events.models import ClientRecord, StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.factories.accounts import UserServiceClient, make_user

pytestmark = pytest.mark.django_db

ME = "/api/v1/user/me"


def _last_event() -> StoredEvent:
    return StoredEvent.objects.order_by("-recorded_at")[0]


def _actor() -> Any:
    return json.loads(_last_event().actor)


def test_a_user_s_event_names_account_session_and_a_digest_of_the_client() -> None:
    user = make_user(name="Ada")
    mine = UserServiceClient(user)

    assert mine.patch(ME, {"name": "Bea"}, headers={"user-agent": "Firefox"}).status_code == 200

    row = ClientRecord.objects.get()
    assert _actor() == {
        "kind": "user",
        "id": str(user.id),
        "session": str(mine.session_id),
        "client": bytes(row.digest).hex(),
    }
    assert (row.address, row.user_agent, row.user_id) == (mine.address, "Firefox", user.id)
    assert bytes(row.digest) == client_digest(salt=bytes(row.salt), address=mine.address, user_agent="Firefox")


def test_a_staff_member_s_change_of_an_account_names_the_staff_member() -> None:
    support, trader = make_user(roles=["support"]), make_user()

    assert UserServiceClient(support).patch(f"/api/v1/user/{trader.id}", {"name": "Eve"}).status_code == 200

    assert (_actor()["kind"], _actor()["id"], _last_event().user_id) == ("staff", str(support.id), trader.id)
    assert ClientRecord.objects.get().user_id == support.id  # it goes with the account whose address it is


def test_a_registration_is_anonymous_and_its_client_belongs_to_the_new_account() -> None:
    body = {"email": "new@example.com", "password": "a wholly different sentence"}
    assert UserServiceClient().post("/api/v1/auth/register", body).status_code == 201

    assert _actor().keys() == {"kind", "client"}
    assert _actor()["kind"] == "anonymous"
    assert ClientRecord.objects.get().user_id == _last_event().user_id is not None


def test_what_a_process_publishes_has_the_process_as_its_actor() -> None:
    make_user(roles=["trader"])
    publish_outside_of_a_request()

    assert _actor() == {"kind": "service", "id": settings.PROCESS or settings.SERVICE}
    assert not ClientRecord.objects.exists()


def test_two_requests_of_one_client_have_digests_that_cannot_be_linked() -> None:
    mine = UserServiceClient(make_user())
    for name in ("Ada", "Bea"):
        assert mine.patch(ME, {"name": name}).status_code == 200

    first, second = ClientRecord.objects.all()
    assert (first.address, bytes(first.digest) == bytes(second.digest)) == (second.address, False)


def test_a_refused_request_leaves_no_client_behind() -> None:
    mine = UserServiceClient(make_user())
    assert mine.patch(ME, {"nam": "Ada"}).status_code == 400
    assert not ClientRecord.objects.exists()


def test_the_chains_hold_after_the_clients_have_been_erased() -> None:
    user = make_user()
    mine = UserServiceClient(user)
    for name in ("Ada", "Bea"):
        assert mine.patch(ME, {"name": name}).status_code == 200

    assert ClientRecord.objects.filter(user_id=user.id).delete()[0] == 2

    verifier = ChainVerifier()
    with connection.cursor() as cursor:
        cursor.cursor.copy_expert(ALL_EVENTS, verifier)
    assert (verifier.divergences, verifier.events) == ([], 2)
    assert mine.address not in str([(row.actor, bytes(row.payload)) for row in StoredEvent.objects.all()])


@pytest.mark.parametrize("text", ["a\tb", "a\\b", "a\nb"])
def test_an_actor_that_copy_would_escape_is_refused(text: str) -> None:
    with pytest.raises(DatabaseError, match="actor"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT events.append_event(gen_random_uuid(), 'user.updated', 1, 'user', gen_random_uuid(), now(), NULL, "
            "gen_random_uuid(), NULL, 'x', 'x', 'kafka', 'user.events', 1, NULL, %s)",
            [text],
        )


def publish_outside_of_a_request() -> None:
    publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=timezone.now())
