"""The export: everything of one person and nothing of another, whole or not at all."""

import hashlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from django.core.cache import cache
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts import other_services
from apps.accounts.models import KnownDevice, OutgoingMail, RecoveryCode, User
from apps.accounts.services import export as exports
from apps.accounts.services.known_devices import device_remember
from apps.accounts.services.mfa import mfa_set_up
from apps.bots.models import AccountTrade, Alert, BotOrder, OrderStep
from apps.core import batches
from apps.core.api.personal_data import _lines
from apps.core.identity import service_token
from apps.core.identity.client_info import ClientInfo
from apps.core.models import MachineKey
from apps.events.models import ClientRecord, StoredEvent
from apps.risk.models import HaltLevel, HaltScope, HaltSource
from apps.risk.services.halts import halt_set
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.factories.bots import BotFactory
from tests.factories.service_tokens import call_as
from tests.factories.vault import stored_credential

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v1/user/me/export"
STAFF = "warden@staff.example"


class OtherServices:
    """The kraken and bot services: their real views, in this process, called with real tokens."""

    def __init__(self) -> None:
        self.down: str = ""
        self.cut_off: str = ""

    @contextmanager
    def stream(self, url: str, *, audience: str, timeout: tuple[float, float]) -> Iterator[Iterator[str]]:
        if audience == self.down:
            raise requests.ConnectionError("refused")
        token = service_token.mint(audience=audience)
        with override_settings(ROOT_URLCONF=f"{audience}_service.urls", SERVICE=audience):
            path = url[url.index("/internal/") :]
            answer: Any = APIClient().get(path, headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer["Content-Type"]) == (200, "application/x-ndjson")
            lines = b"".join(answer.streaming_content).decode().splitlines()
        yield iter(lines[:-1] if audience == self.cut_off else lines)


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch, settings: Any) -> OtherServices:
    call_as(settings, "user")
    cache.clear()
    services = OtherServices()
    monkeypatch.setattr(other_services, "service_stream", services.stream)
    return services


class Person:
    """A trader with a little of everything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.user = make_user(name=name, email=f"{name}@example.com")
        self.client = UserServiceClient(self.user)
        now = timezone.now()
        client = ClientInfo(address=self.client.address, user_agent=f"{name}'s browser")
        self.device_token = device_remember(user=self.user, client=client, device_token="", now=now)
        self.totp_secret = mfa_set_up(user_id=self.user.id, password=PASSWORD, now=now).secret
        RecoveryCode.objects.create(user=self.user, digest=hashlib.sha256(name.encode()).digest())
        OutgoingMail.objects.create(
            kind="password_changed", email=self.user.email, created_at=now, next_attempt_at=now, sent_at=now
        )
        self.key_digest = hashlib.sha256(f"machine key of {name}".encode()).digest()
        MachineKey.objects.create(
            user_id=self.user.id, name=f"{name}'s script", hint="abcd", digest=self.key_digest, scopes=["read"],
            created_at=now,
        )  # fmt: skip
        self.credential = stored_credential(user_id=self.user.id)
        self.bot = BotFactory.create(user_id=self.user.id, credential_id=self.credential.id, name=f"{name}'s bot")
        self.trade_ids = [_trade(self) for _ in range(3)]
        _order(self)
        Alert.objects.create(
            id=uuid4(), user_id=self.user.id, kind="k", severity="warning", code="c", message=f"for {name}",
            occurred_at=now,
        )  # fmt: skip
        halt_set(
            scope=HaltScope.BOT, subject_id=self.bot.id, user_id=self.user.id, level=HaltLevel.REDUCING,
            source=HaltSource.STAFF, code="review", reason=f"ask {STAFF}", set_by=STAFF, now=now,
        )  # fmt: skip
        self.client.patch("/api/v1/user/me", {"name": name.title()}, headers={"User-Agent": f"{name}'s browser"})

    def step_up(self) -> "Person":
        self.client.bear(self.client.post("/api/v1/auth/step-up", {"password": PASSWORD}).json()["access"])
        return self


def _trade(person: Person) -> UUID:
    trade = AccountTrade.objects.create(
        trade_id=uuid4(), user_id=person.user.id, credential_id=person.credential.id, bot_id=person.bot.id,
        order_id=uuid4(), exchange_trade_id="t", mode="paper", pair="XBT/USD", base_asset="XBT", quote_asset="USD",
        side="buy", price=Decimal("50000.1"), volume=Decimal("0.001"), cost=Decimal("50.0001"), fee=Decimal("0.1"),
        executed_at=timezone.now(),
    )  # fmt: skip
    return trade.trade_id


def _order(person: Person) -> None:
    now = timezone.now()
    order = BotOrder.objects.create(
        order_id=uuid4(), bot_id=person.bot.id, user_id=person.user.id, credential_id=person.credential.id,
        run_id=uuid4(), seq=1, decision_id="d", attempt=1, client_order_id="c", mode="paper", strategy="s",
        pair="XBT/USD", side="buy", kind="take", price=1, volume=1, filled_volume=0, filled_cost=0, filled_fee=0,
        state="open", planned_at=now, changed_at=now,
    )  # fmt: skip
    for seq in (1, 2):
        OrderStep.objects.create(
            event_id=uuid4(), order_id=order.order_id, seq=seq, kind="bot.order.placed", state="open", filled_volume=0,
            at=now,
        )  # fmt: skip


def _archive(answer: Any) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any], str]:
    """The rows by path, the manifest, and the text of all of it. The archive is checked against its manifest."""
    assert answer.status_code == 200, answer.content
    assert (answer["Content-Type"], answer["Cache-Control"]) == ("application/zip", "no-store")
    content = b"".join(answer.streaming_content)
    assert len(content) == int(answer["Content-Length"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    assert list(files)[-1] == "manifest.json"
    manifest = json.loads(files.pop("manifest.json"))
    listed = {each["path"]: (each["rows"], each["sha256"]) for each in manifest["files"]}
    assert listed == {path: (data.count(b"\n"), hashlib.sha256(data).hexdigest()) for path, data in files.items()}
    text = b"".join(files.values()).decode()
    return {path: [json.loads(line) for line in data.splitlines()] for path, data in files.items()}, manifest, text


def test_it_has_everything_of_the_person_nothing_of_another_and_no_secret() -> None:
    ada, eve = Person("ada"), Person("eve")

    files, manifest, text = _archive(ada.step_up().client.get(PATH))

    assert manifest["user_id"] == str(ada.user.id)
    counts = {path: len(rows) for path, rows in files.items()}
    assert {
        "user/account.jsonl": 1, "user/sessions.jsonl": 1, "user/devices.jsonl": 2, "user/second_factors.jsonl": 2,
        "user/mails.jsonl": 1, "user/machine_keys.jsonl": 1, "kraken/bots.jsonl": 1,
        "kraken/exchange_keys.jsonl": 1, "kraken/orders.jsonl": 1, "kraken/trades.jsonl": 3, "kraken/alerts.jsonl": 1,
        "kraken/halts.jsonl": 1, "bot/runs.jsonl": 0, "bot/fills.jsonl": 0, "user/onboarding.jsonl": 0,
    }.items() <= counts.items()  # fmt: skip
    assert {row["user_agent"] for row in files["user/clients.jsonl"]} >= {"ada's browser"}
    assert [row["trade_id"] for row in files["kraken/trades.jsonl"]] == [str(each) for each in ada.trade_ids]
    assert files["kraken/trades.jsonl"][0]["price"] == "50000.1000000000"
    assert len(files["kraken/orders.jsonl"][0]["steps"]) == 2
    assert "user.updated" in {event["event_type"] for event in files["user/activity.jsonl"]}

    for foreign in (eve.user.id, eve.user.email, "eve's", "Eve", eve.credential.id, eve.bot.id, eve.client.address):
        assert str(foreign) not in text
    assert STAFF not in text
    assert files["kraken/halts.jsonl"][0]["reason"] == "ask (address of another person)"
    secrets = [ada.totp_secret, ada.device_token, ada.user.password, *_hidden(ada)]
    assert [secret for secret in secrets if secret in text] == []


def _hidden(person: Person) -> list[str]:
    """What is stored of secrets, in the forms in which it could show."""
    digests = [person.key_digest, *(bytes(each.digest) for each in KnownDevice.objects.filter(user=person.user))]
    credential = person.credential
    assert credential.ciphertext
    assert credential.wrapped_key
    stored = [*digests, bytes(credential.ciphertext), bytes(credential.wrapped_key)]
    return [credential.key_digest, *(each.hex() for each in stored), *(repr(each)[2:30] for each in stored)]


def test_it_is_an_event_with_its_size() -> None:
    ada = Person("ada").step_up()

    _, manifest, _ = _archive(ada.client.get(PATH))

    (event,) = StoredEvent.objects.filter(event_type="user.data_exported")
    told = json.loads(bytes(event.payload))
    assert (event.user_id, told["export_id"]) == (ada.user.id, manifest["export_id"])
    assert told["rows"] == sum(each["rows"] for each in manifest["files"])


def test_of_staff_who_acted_only_the_kind_is_told() -> None:
    ada, staff = make_user(), make_user(email=STAFF, roles=["admin"])
    at_work = UserServiceClient(staff)
    renamed = at_work.patch(f"/api/v1/user/{ada.id}", {"name": "Ada"}, headers={"User-Agent": "staff browser"})
    assert renamed.status_code == 200
    assert ClientRecord.objects.filter(user_id=staff.id, user_agent="staff browser").exists()
    client = UserServiceClient(ada)
    client.bear(client.post("/api/v1/auth/step-up", {"password": PASSWORD}).json()["access"])

    files, _, text = _archive(client.get(PATH))

    assert {"kind": "staff"} in [event["actor"] for event in files["user/activity.jsonl"]]
    for hidden in (str(staff.id), STAFF, at_work.address, "staff browser"):
        assert hidden not in text


@pytest.mark.parametrize("service", ["kraken", "bot"])
@pytest.mark.parametrize("how", ["down", "cut_off"])
def test_without_a_whole_answer_of_every_service_there_is_no_archive(
    others: OtherServices, service: str, how: str
) -> None:
    ada = Person("ada").step_up()
    setattr(others, how, service)

    answer = ada.client.get(PATH)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "dependency_unavailable")
    assert error["details"]["service"] == service
    assert not StoredEvent.objects.filter(event_type="user.data_exported").exists()


def test_it_needs_a_step_up() -> None:
    ada = Person("ada")

    answer = ada.client.get(PATH, headers={"Accept": "application/zip"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")


def test_the_seventh_in_an_hour_and_one_beside_too_many_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = Person("ada").step_up()
    with exports._turn(), exports._turn():
        busy = ada.client.get(PATH)
    assert (busy.status_code, busy.json()["error"]["code"], busy["Retry-After"]) == (429, "export_busy", "30")
    for _ in range(5):
        _archive(ada.client.get(PATH))

    refused = ada.client.get(PATH)

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
    assert int(refused["Retry-After"]) > 60


def test_only_the_user_service_gets_what_another_service_holds(settings: Any) -> None:
    user = make_user()
    path = f"/internal/personal-data/{user.id}"
    with override_settings(ROOT_URLCONF="kraken_service.urls", SERVICE="kraken"):
        assert APIClient().get(path).status_code == 401
        trader = UserServiceClient(user)
        assert trader.get(path).status_code == 401
    call_as(settings, "paper")
    token = service_token.mint(audience="kraken")
    with override_settings(ROOT_URLCONF="kraken_service.urls", SERVICE="kraken"):
        answer = APIClient().get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403


TRADES = """
INSERT INTO account_trade SELECT gen_random_uuid(), %s, %s, NULL, gen_random_uuid(), 't', 'paper', 'XBT/USD', 'XBT',
    'USD', 'buy', 50000, 0.001, 50, 0.1, now() - n %% 1000 * interval '1 second' FROM generate_series(1, %s) AS n
"""


def test_its_memory_does_not_grow_with_the_number_of_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service that has the rows holds those of one batch at a time."""
    monkeypatch.setattr(batches, "BATCH_ROWS", 50)
    few, many = (_peak_of_export(count) for count in (300, 3_000))

    assert many < few * 1.5


def _peak_of_export(count: int) -> int:
    user: User = make_user()
    with connection.cursor() as cursor:
        columns = [field.column for field in AccountTrade._meta.concrete_fields]
        assert columns[:5] == ["trade_id", "user_id", "credential_id", "bot_id", "order_id"]
        cursor.execute(TRADES, [user.id, uuid4(), count])
    tracemalloc.start()
    try:
        rows = sum(chunk.count("\n") for chunk in _lines("kraken", user.id)) - 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert rows == count
