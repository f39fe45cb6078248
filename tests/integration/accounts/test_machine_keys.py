"""Machine keys: made once, hashed, scoped, bound to addresses, and gone within seconds when they are revoked."""

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import MfaDevice, User, UserSession
from apps.accounts.services.machine_keys import machine_key_create
from apps.accounts.services.sessions import sessions_end_all
from apps.accounts.services.staff import user_update_by_staff
from apps.accounts.tokens import Holder, mint_access
from apps.core.identity import machine_keys
from apps.core.identity.assurance import Assurance
from apps.core.identity.machine_key_format import digest_of_machine_key, is_well_formed, new_machine_key
from apps.core.identity.principal import Role
from apps.core.models import KeyScope, MachineKey, MachineKeyUse
from apps.core.redaction import mask_text
from apps.events.models import StoredEvent
from tests.factories.accounts import UserServiceClient, make_user
from tests.support.database_roles import as_role

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("machine_keys_read_anew")]

KEYS = "/api/v1/auth/api-keys"
ME = "/api/v1/user/me"
BOTS = "/api/v1/bot"


def _verified(**fields: Any) -> User:
    return make_user(email_verified_at=timezone.now(), **fields)


def _key(user: User, *scopes: str, **changes: Any) -> str:
    now = timezone.now()
    options: dict[str, Any] = {"name": "script", "networks": (), "expires_at": None, **changes}
    assurance = Assurance(has_verified_email=True, has_mfa=True, stepped_up_at=now)
    return machine_key_create(user_id=user.id, scopes=scopes or ("read",), assurance=assurance, now=now, **options).key


def _script(key: str, address: str = "192.0.2.7") -> APIClient:
    client = APIClient(REMOTE_ADDR=address, HTTP_AUTHORIZATION=f"Bearer {key}")
    client.default_format = "json"
    return client


def _step_up(client: UserServiceClient, user: User) -> None:
    holder = Holder(user.id, client.session_id, user.roles, has_verified_email=True, has_mfa=True)
    client.bear(mint_access(holder=holder, now=timezone.now(), stepped_up_at=timezone.now()).token)


def _code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def _events(user: User) -> list[str]:
    return list(
        StoredEvent.objects.filter(user_id=user.id).order_by("aggregate_seq").values_list("event_type", flat=True)
    )


def test_a_key_is_shown_once_and_stored_as_a_digest() -> None:
    user = _verified()
    client = UserServiceClient(user)

    made = client.post(KEYS, {"name": "backup", "scopes": ["read"]})

    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    key = made.json()["key"]
    assert is_well_formed(key)
    assert bytes(MachineKey.objects.get().digest) == digest_of_machine_key(key)
    (listed,) = client.get(KEYS).json()["results"]
    assert "key" not in listed
    assert (listed["name"], listed["scopes"], listed["hint"]) == ("backup", ["read"], key[:8])
    assert _events(user)[-1] == "user.api_key.created"


def test_a_key_reads_where_a_token_reads_in_each_service(settings: Any) -> None:
    script = _script(_key(_verified()))

    assert script.get(ME).status_code == 200
    assert script.get(f"{ME}/activity").status_code == 200
    settings.ROOT_URLCONF = "kraken_service.urls"
    assert script.get(BOTS).status_code == 200


@pytest.mark.parametrize("scopes", [("read",), ("trade:paper",), ("trade:live",), ("trade:paper", "trade:live")])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("patch", ME),
        ("post", f"{ME}/password"),
        ("get", KEYS),
        ("post", KEYS),
        ("delete", f"{KEYS}/{uuid4()}"),
        ("get", "/api/v1/auth/sessions"),
        ("delete", f"/api/v1/auth/sessions/{uuid4()}"),
        ("post", "/api/v1/auth/mfa/setup"),
        ("post", "/api/v1/auth/mfa/confirm"),
        ("post", "/api/v1/auth/mfa/disable"),
        ("post", "/api/v1/auth/step-up"),
        ("post", "/api/v1/auth/logout"),
        ("post", "/api/v1/onboarding/profile"),
    ],
)
def test_no_key_changes_the_account(scopes: tuple[str, ...], method: str, path: str) -> None:
    answer = getattr(_script(_key(_verified(), *scopes)), method)(path, {}, format="json")

    assert _code(answer) == (403, "machine_key_not_allowed")
    assert answer.json()["error"]["details"] == {"use": "POST /api/v1/auth/login"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/kraken/connect"),
        ("delete", f"/api/v1/kraken/keys/{uuid4()}"),
        ("patch", f"/api/v1/kraken/keys/{uuid4()}"),
        ("post", f"/api/v1/kraken/keys/{uuid4()}/rotate"),
        ("post", f"/api/v1/kraken/keys/{uuid4()}/test"),
        ("patch", "/api/v1/trading/caps"),
    ],
)
def test_no_key_changes_exchange_keys_or_caps(settings: Any, method: str, path: str) -> None:
    script = _script(_key(_verified(), "trade:paper", "trade:live"))
    settings.ROOT_URLCONF = "kraken_service.urls"

    assert _code(getattr(script, method)(path, {}, format="json")) == (403, "machine_key_not_allowed")


def test_a_key_for_reading_trades_nothing(settings: Any) -> None:
    script = _script(_key(_verified()))
    settings.ROOT_URLCONF = "kraken_service.urls"

    answer = script.post(f"{BOTS}/stop-all", {})

    assert _code(answer) == (403, "scope_missing")
    assert answer.json()["error"]["details"] == {"scope": "trade:paper", "scopes": ["read"]}


def test_a_key_of_a_staff_member_has_no_staff_role() -> None:
    script = _script(_key(_verified(roles=["trader", "admin"])))

    assert script.get("/api/v1/user").status_code == 403


def test_creation_needs_a_verified_address() -> None:
    assert _code(
        UserServiceClient(make_user(email_verified_at=None)).post(KEYS, {"name": "x", "scopes": ["read"]})
    ) == (
        403,
        "email_not_verified",
    )


def test_trading_live_needs_a_step_up() -> None:
    user = _verified()
    client = UserServiceClient(user)
    wanted = {"name": "x", "scopes": ["trade:live"]}
    assert _code(client.post(KEYS, wanted)) == (403, "mfa_required")
    MfaDevice.objects.create(
        user=user, nonce=b"", ciphertext=b"", wrapped_key=b"", created_at=timezone.now(), confirmed_at=timezone.now()
    )
    client.log_in(user)
    assert _code(client.post(KEYS, wanted)) == (403, "step_up_required")

    _step_up(client, user)

    assert client.post(KEYS, wanted).status_code == 201


@pytest.mark.parametrize(
    ("networks", "address", "is_allowed"),
    [
        (["192.0.2.7/32"], "192.0.2.7", True),
        (["192.0.2.7/32"], "192.0.2.8", False),
        (["192.0.2.0/24", "2001:db8::/32"], "192.0.2.200", True),
        (["2001:db8::/32"], "2001:db8:1::5", True),
        (["2001:db8::/32"], "2001:db9::5", False),
        (["2001:db8::/32"], "192.0.2.7", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.9", True),
        ([], "203.0.113.5", True),
    ],
)
def test_the_list_of_networks_is_kept(networks: list[str], address: str, is_allowed: bool) -> None:
    answer = _script(_key(_verified(), networks=networks), address).get(ME)

    if is_allowed:
        assert answer.status_code == 200
    else:
        assert _code(answer) == (403, "machine_key_address_refused")


def test_an_address_that_the_caller_made_up_does_not_count() -> None:
    script = _script(_key(_verified(), networks=["192.0.2.0/24"]), "8.8.8.8")

    assert script.get(ME, HTTP_X_FORWARDED_FOR="192.0.2.7").status_code == 403


@pytest.mark.parametrize("text", ["192.0.2.1/24", "everywhere", "192.0.2.0/33", "::ffff:192.0.2.0/120", "", "1"])
def test_what_is_no_network_is_refused(text: str) -> None:
    client = UserServiceClient(_verified())

    assert client.post(KEYS, {"name": "x", "scopes": ["read"], "networks": [text]}).status_code == 400
    assert not MachineKey.objects.exists()


@pytest.mark.parametrize("scopes", [[], ["write"], ["read", 7], None])
def test_what_is_no_scope_is_refused(scopes: Any) -> None:
    assert UserServiceClient(_verified()).post(KEYS, {"name": "x", "scopes": scopes}).status_code == 400


def test_a_revoked_key_is_refused_within_seconds(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user = _verified()
    script = _script(_key(user))
    assert script.get(ME).status_code == 200
    client, row = UserServiceClient(user), MachineKey.objects.get()

    assert client.delete(f"{KEYS}/{row.id}").status_code == 204
    # As another process: nobody tells it, it reads again.
    later = time.monotonic() + machine_keys.REREAD_AFTER.total_seconds()
    monkeypatch.setattr("apps.core.memory.time.monotonic", lambda: later)

    assert _code(script.get(ME)) == (401, "machine_key_invalid")
    assert client.get(KEYS).json()["results"] == []
    assert client.delete(f"{KEYS}/{row.id}").status_code == 404
    assert _events(user)[-1] == "user.api_key.revoked"


def test_another_user_cannot_revoke_it() -> None:
    key = _key(_verified())

    answer = UserServiceClient(_verified()).delete(f"{KEYS}/{MachineKey.objects.get().id}")

    assert answer.status_code == 404
    assert _script(key).get(ME).status_code == 200


def test_an_expired_key_is_refused() -> None:
    script = _script(_key(_verified(), expires_at=timezone.now() + timedelta(hours=1)))
    assert script.get(ME).status_code == 200
    MachineKey.objects.update(expires_at=timezone.now())
    machine_keys.forget()

    assert _code(script.get(ME)) == (401, "machine_key_invalid")


def test_a_wrong_checksum_is_refused_without_a_question_to_the_database(django_assert_num_queries: Any) -> None:
    key = new_machine_key()
    wrong = [key[:-1] + ("0" if key[-1] != "0" else "1"), key[:-1], key + "0", "mk_", "mk_" + "0" * 49, "mk_ü"]

    with django_assert_num_queries(0):
        for text in wrong:
            assert not is_well_formed(text)
            with pytest.raises(machine_keys.MachineKeyInvalid):
                machine_keys.machine_key_verify(text, address=None)
    assert _code(_script(wrong[0]).get(ME)) == (401, "machine_key_invalid")


def test_a_key_that_nobody_has_is_401() -> None:
    assert _code(_script(new_machine_key()).get(ME)) == (401, "machine_key_invalid")


def test_keys_end_with_the_account_and_not_with_a_password() -> None:
    user = _verified()
    script = _script(_key(user))
    sessions_end_all(user_id=user.id, ending=UserSession.Ending.PASSWORD_CHANGED, now=timezone.now())
    assert script.get(ME).status_code == 200

    user_update_by_staff(
        user_id=user.id,
        changes={"is_active": False},
        staff_id=uuid4(),
        staff_roles=frozenset({Role.ADMIN}),
        now=timezone.now(),
    )
    machine_keys.forget()

    assert script.get(ME).status_code == 401
    assert "user.api_key.revoked" in _events(user)


def test_twenty_keys_and_no_more() -> None:
    user = _verified()
    for _ in range(20):
        _key(user)

    answer = UserServiceClient(user).post(KEYS, {"name": "x", "scopes": ["read"]})

    assert _code(answer) == (409, "too_many_machine_keys")
    assert MachineKey.objects.count() == 20


def test_use_is_written_once_a_minute_and_a_new_network_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    user = _verified()
    key = _key(user)

    for address in ("192.0.2.7", "192.0.2.7", "2001:db8::1", "2001:db8::2"):
        assert _script(key, address).get(ME).status_code == 200

    assert _events(user).count("user.api_key.used_from_new_address") == 2
    assert MachineKeyUse.objects.count() == 2
    first = MachineKeyUse.objects.get(network="192.0.2.7").last_used_at
    machine_keys.forget()
    _script(key).get(ME)
    assert MachineKeyUse.objects.get(network="192.0.2.7").last_used_at == first
    MachineKeyUse.objects.update(last_used_at=first - timedelta(seconds=61), first_used_at=first - timedelta(days=1))
    machine_keys.forget()
    _script(key).get(ME)
    assert MachineKeyUse.objects.get(network="192.0.2.7").last_used_at > first - timedelta(seconds=61)
    assert _events(user).count("user.api_key.used_from_new_address") == 2


def test_the_key_stands_in_no_log_and_no_event(capfd: pytest.CaptureFixture[str], caplog: Any) -> None:
    user = _verified()
    made = UserServiceClient(user).post(KEYS, {"name": "x", "scopes": ["read"]})
    key = made.json()["key"]
    _script(key).get(ME)
    _script(key).post(KEYS, {})

    out, error = capfd.readouterr()
    assert key not in out + error + caplog.text
    assert not [event for event in StoredEvent.objects.all() if key.encode() in bytes(event.payload)]
    assert key not in mask_text(f"a script wrote {key} into a text")


@pytest.mark.parametrize("role", ["kraken_service", "bot_service"])
def test_other_services_verify_keys_and_cannot_make_one(role: str) -> None:
    with as_role(role), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events.machine_key")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            cursor.execute("UPDATE events.machine_key SET scopes = '{trade:live}'")


def test_a_live_key_passes_the_gates_that_a_step_up_passes() -> None:
    from apps.core.identity.principal import MachineKeyPrincipal

    user = _verified()
    live = machine_keys.machine_key_verify(_key(user, "trade:live"), address=None)
    paper = machine_keys.machine_key_verify(_key(user, "trade:paper"), address=None)

    assert live.scopes == {KeyScope.TRADE_LIVE}
    now = timezone.now()
    assert MachineKeyPrincipal(live, address=None).assurance.has_fresh_step_up(now=now)
    assert not MachineKeyPrincipal(paper, address=None).assurance.has_fresh_step_up(now=now)
    assert django_settings.SERVICE
