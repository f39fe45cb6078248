"""A repeated request is executed once and gets the stored response, also concurrently and around external calls."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.urls import path
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api.idempotency import IdempotentMutations, idempotency_purge
from apps.core.errors import Refused
from apps.core.models import IdempotencyRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class _View(IdempotentMutations, APIView):
    authentication_classes = []
    permission_classes = []
    work: ClassVar[Callable[[Request], Response]]

    def post(self, request: Request) -> Response:
        return type(self).work(request)


class TransactionalView(_View):
    pass


class AroundIoView(_View):
    idempotency_around_io = True


urlpatterns = [path("transactional", TransactionalView.as_view()), path("io", AroundIoView.as_view())]
BOTH = pytest.mark.parametrize("address", ["/transactional", "/io"])


class Work:
    """A handler that counts its calls, can block or fail, and records the state of the connection."""

    def __init__(self) -> None:
        self.times = 0
        self.in_transaction: list[bool] = []
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: BaseException | None = None

    def __call__(self, request: Request) -> Response:
        self.times += 1
        self.in_transaction.append(connection.in_atomic_block)
        self.began.set()
        assert self.may_end.wait(10)
        if self.error:
            raise self.error
        return Response({"times": self.times, "said": request.data}, status=201, headers={"Location": f"/{self.times}"})


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    done = Work()
    monkeypatch.setattr(_View, "work", done, raising=False)
    yield done
    done.may_end.set()


def _post(address: str, body: dict[str, Any] | None = None, key: str | None = "key-1") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return Client(raise_request_exception=False).post(
        address, body or {"a": 1}, content_type="application/json", headers=headers
    )


def _in_background(call: Callable[[], Any]) -> Callable[[], Any]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> Any:
        thread.join(15)
        return results[0]

    return wait


@BOTH
def test_a_repeated_request_is_answered_alike_and_done_once(work: Work, address: str) -> None:
    first, second = _post(address), _post(address)

    assert work.times == 1
    assert (first.status_code, first.json(), first["Location"]) == (
        second.status_code,
        second.json(),
        second["Location"],
    )
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"


@BOTH
def test_without_a_key_everything_is_done_each_time(work: Work, address: str) -> None:
    _post(address, key=None)
    _post(address, key=None)

    assert work.times == 2
    assert IdempotencyRecord.objects.count() == 0


@BOTH
def test_the_same_key_for_another_body_is_a_conflict(work: Work, address: str) -> None:
    _post(address)
    response = _post(address, {"a": 2})

    assert response.status_code == 409
    assert b"idempotency_key_reused" in response.content
    assert work.times == 1


@BOTH
def test_a_malformed_key_is_refused(work: Work, address: str) -> None:
    assert _post(address, key="two words").status_code == 400
    assert _post(address, key="k" * 129).status_code == 400
    assert work.times == 0


@BOTH
@pytest.mark.parametrize(("error", "status"), [(Refused("No."), 422), (ZeroDivisionError(), 500)])
def test_a_failure_leaves_no_record_and_can_be_tried_again(
    work: Work, address: str, error: Exception, status: int
) -> None:
    work.error = error
    assert _post(address).status_code == status
    assert IdempotencyRecord.objects.count() == 0

    work.error = None
    assert _post(address).status_code == 201
    assert work.times == 2


def test_the_transactional_kind_works_inside_a_transaction_and_the_other_outside(work: Work) -> None:
    _post("/transactional")
    _post("/io", key="key-2")

    assert work.in_transaction == [True, False]


def test_an_equal_request_meanwhile_waits_for_the_transactional_one(work: Work) -> None:
    work.may_end.clear()
    first = _in_background(lambda: _post("/transactional"))
    assert work.began.wait(5)
    second = _in_background(lambda: _post("/transactional"))
    work.may_end.set()

    assert first().json() == second().json()
    assert work.times == 1


def test_an_equal_request_meanwhile_is_told_to_come_back_where_there_is_io(work: Work) -> None:
    work.may_end.clear()
    first = _in_background(lambda: _post("/io"))
    assert work.began.wait(5)
    meanwhile = _post("/io")
    work.may_end.set()
    done = first()

    assert meanwhile.status_code == 409
    assert b'"code":"request_in_progress"' in meanwhile.content
    assert 1 <= int(meanwhile["Retry-After"]) <= 5
    assert _post("/io").json() == done.json()
    assert work.times == 1


def test_of_many_equal_requests_at_once_one_is_done(work: Work) -> None:
    waiting = [_in_background(lambda: _post("/io")) for _ in range(6)]
    statuses = sorted(wait().status_code for wait in waiting)

    assert work.times == 1
    assert statuses.count(201) >= 1
    assert set(statuses) <= {201, 409}


def test_while_one_is_under_way_another_body_is_still_a_conflict(work: Work) -> None:
    work.may_end.clear()
    first = _in_background(lambda: _post("/io"))
    assert work.began.wait(5)
    response = _post("/io", {"a": 2})
    work.may_end.set()
    first()

    assert b"idempotency_key_reused" in response.content


def _age(seconds: float) -> None:
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(seconds=seconds))


def _abandon(work: Work) -> None:
    """The record of a process that died during an external call."""
    _post("/io")
    IdempotencyRecord.objects.update(status=None, body=None, headers={})
    work.times = 0


def test_a_record_of_a_dead_process_is_taken_over_after_a_minute(work: Work) -> None:
    _abandon(work)
    _age(59)
    assert _post("/io").status_code == 409
    assert work.times == 0

    _age(61)
    assert _post("/io").status_code == 201
    assert work.times == 1
    assert _post("/io")["Idempotency-Replayed"] == "true"


def test_one_of_many_takes_an_abandoned_record_over(work: Work) -> None:
    _abandon(work)
    _age(61)

    waiting = [_in_background(lambda: _post("/io")) for _ in range(6)]

    assert {wait().status_code for wait in waiting} <= {201, 409}
    assert work.times == 1


@pytest.mark.parametrize("error", [None, Refused("No.")])
def test_whoever_was_taken_over_changes_nothing_any_more(work: Work, error: Exception | None) -> None:
    work.may_end.clear()
    first = _in_background(lambda: _post("/io"))
    assert work.began.wait(5)
    taken_over = uuid4().hex
    IdempotencyRecord.objects.update(created_at=timezone.now(), status=201, body=taken_over)
    work.error = error
    work.may_end.set()
    first()

    assert IdempotencyRecord.objects.get().body == taken_over


def test_strangers_behind_one_gateway_do_not_share_their_keys() -> None:
    TransactionalView.work = lambda request: Response({"of": request.META["HTTP_X_FORWARDED_FOR"]})

    def ask(address: str, agent: str) -> Any:
        return Client().post(
            "/transactional", {"who": address + agent}, content_type="application/json",
            headers={"Idempotency-Key": "1", "X-Forwarded-For": address, "User-Agent": agent},
        )  # fmt: skip

    callers = [("203.0.113.1", "curl"), ("203.0.113.2", "curl"), ("203.0.113.1", "other")]
    assert [ask(*caller).status_code for caller in callers] == [200] * 3
    assert [ask(*caller).headers.get("Idempotency-Replayed") for caller in callers] == ["true"] * 3


def test_records_are_deleted_after_a_day() -> None:
    now = timezone.now()
    for key, age in (("old", timedelta(days=1, seconds=1)), ("young", timedelta(hours=23))):
        IdempotencyRecord.objects.create(scope="x", key=key, fingerprint=b"x", created_at=now - age)

    assert idempotency_purge(now=now) == 1
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["young"]
