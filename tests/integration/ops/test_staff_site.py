"""Staff can open every page of the site; nothing there shows a secret or changes an event."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.factories.accounts import UserFactory

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def staff(client: Client) -> Client:
    user = UserFactory.create(email="staff@example.com", roles=["admin"])
    client.force_login(user)
    return client


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_list_opens(staff: Client, model: type) -> None:
    response = staff.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))  # type: ignore[attr-defined]
    assert response.status_code == 200


def test_a_stranger_sees_the_log_in_form_only(client: Client) -> None:
    assert client.get("/admin/events/storedevent/").status_code == 302


def test_an_event_is_shown_with_its_payload_and_cannot_be_changed(staff: Client) -> None:
    user_id = staff.session["_auth_user_id"]
    event_id = publish(UserUpdated(user_id=user_id, changed=("name",)), now=timezone.now())
    address = reverse("admin:events_storedevent_change", args=[event_id])

    assert b"&quot;changed&quot;" in staff.get(address).content
    assert staff.post(address, {"event_type": "x"}).status_code == 403
    assert StoredEvent.objects.get(event_id=event_id).event_type == "user.updated"
