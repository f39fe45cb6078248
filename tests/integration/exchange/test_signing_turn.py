"""One writer a key, over threads and sessions; nonces that only rise, whatever the clock does."""

import threading
import time
from collections.abc import Iterator

import psycopg2
import pytest
from django.conf import settings
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from apps.core.terms import Mode
from apps.exchange import nonce
from apps.exchange.errors import ExchangeCallInTransaction, NotSent
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.kraken.exchange import KrakenExchange
from apps.exchange.models import ExchangeNonce
from apps.exchange.nonce import key_digest, nonce_forget, signing_turn
from tests.factories.exchange import OrderRequestFactory
from tests.factories.exchange_stub import KEY, SECRET, ExchangeStub, Reply, result, running_stub

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stub() -> Iterator[ExchangeStub]:
    with running_stub() as running:
        yield running


def _exchange(stub: ExchangeStub, api_key: str = KEY) -> KrakenExchange:
    return KrakenExchange(mode=Mode.PAPER, url=stub.url, api_key=api_key, api_secret=SECRET, policy=CallPolicy(1, 2))


def _locks_held() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
        )
        return int(cursor.fetchone()[0])


def test_calls_of_many_threads_arrive_with_rising_nonces(stub: ExchangeStub) -> None:
    stub.reply("BalanceEx", result({}))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            exchange = _exchange(stub)
            for _ in range(15):
                exchange.balances()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    nonces = [int(call.params["nonce"]) for call in stub.received]
    assert len(nonces) == 60
    assert nonces == sorted(set(nonces))
    assert ExchangeNonce.objects.get(key_digest=key_digest(KEY)).last_nonce == nonces[-1]
    assert _locks_held() == 0


def test_a_call_waits_until_the_other_has_its_answer(stub: ExchangeStub) -> None:
    stub.reply("BalanceEx", Reply(body=b'{"error":[],"result":{}}', wait_seconds=0.4))
    began = threading.Event()
    order: list[str] = []

    def hold() -> None:
        with signing_turn(KEY):
            began.set()
            time.sleep(0.4)
            order.append("first")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait(5)
    with signing_turn(KEY):
        order.append("second")
    thread.join()

    assert order == ["first", "second"]


def test_keys_do_not_wait_for_each_other(stub: ExchangeStub) -> None:
    began, done = threading.Event(), threading.Event()

    def hold() -> None:
        with signing_turn("another key"):
            began.set()
            done.wait(5)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait(5)
    with signing_turn(KEY):
        done.set()
    thread.join()


def test_a_clock_that_is_set_back_repeats_no_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    with signing_turn(KEY) as first:
        pass
    monkeypatch.setattr(time, "time_ns", lambda: first - 10_000_000_000)
    with signing_turn(KEY) as second:
        pass
    with signing_turn(KEY) as third:
        pass

    assert [second, third] == [first + 1, first + 2]


def test_a_failed_call_spends_its_nonce_and_lets_go_of_the_key(stub: ExchangeStub) -> None:
    with pytest.raises(RuntimeError), signing_turn(KEY) as first:
        raise RuntimeError

    assert _locks_held() == 0
    with signing_turn(KEY) as second:
        assert second > first


def test_no_exchange_is_called_inside_a_transaction(stub: ExchangeStub) -> None:
    with pytest.raises(ExchangeCallInTransaction), transaction.atomic():
        _exchange(stub).submit(OrderRequestFactory.create())
    assert stub.received == []


def test_no_transaction_is_open_while_the_exchange_thinks(
    stub: ExchangeStub, django_db_blocker: DjangoDbBlocker
) -> None:
    stub.reply("BalanceEx", Reply(body=b'{"error":[],"result":{}}', wait_seconds=0.5))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    states: list[tuple[str, bool]] = []

    def look() -> None:
        time.sleep(0.25)
        with connection.cursor() as cursor:
            cursor.execute("SELECT state, xact_start IS NULL FROM pg_stat_activity WHERE pid = %s", [backend])
            states.append(cursor.fetchone())
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    _exchange(stub).balances()
    thread.join()

    assert states == [("idle", True)]


def test_a_key_that_stays_taken_means_not_sent(stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonce, "TURN_WITHIN_SECONDS", 0.1)
    stub.reply("AddOrder", result({"txid": ["OA"]}))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with signing_turn(KEY):
            held.set()
            done.wait(10)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    try:
        with pytest.raises(NotSent):
            _exchange(stub).submit(OrderRequestFactory.create())
    finally:
        done.set()
        thread.join()
        connection.close()
    assert stub.received == []


def test_an_answer_is_not_lost_when_the_database_goes_away_meanwhile(stub: ExchangeStub) -> None:
    stub.reply("AddOrder", Reply(body=b'{"error":[],"result":{"txid":["OA"]}}', wait_seconds=0.5))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    database = connection.settings_dict

    def cut() -> None:
        time.sleep(0.2)
        other = psycopg2.connect(
            dbname=database["NAME"],
            host=database["HOST"],
            port=database["PORT"],
            user=database["USER"],
            password=database["PASSWORD"],
        )
        with other, other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [backend])
        other.close()

    thread = threading.Thread(target=cut)
    thread.start()
    answer = _exchange(stub).submit(OrderRequestFactory.create())
    thread.join()

    assert getattr(answer, "exchange_order_id", None) == "OA"
    assert _locks_held() == 0


def test_a_process_that_dies_lets_go_of_the_key() -> None:
    database = connection.settings_dict
    other = psycopg2.connect(
        dbname=database["NAME"],
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=database["PASSWORD"],
    )
    lock = int.from_bytes(bytes.fromhex(key_digest(KEY))[:8], "big", signed=True)
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [lock])
    assert _locks_held() == 1
    other.close()

    with signing_turn(KEY) as drawn:
        assert drawn > 0


def test_a_forgotten_key_leaves_no_row() -> None:
    with signing_turn(KEY):
        pass
    nonce_forget(KEY)

    assert ExchangeNonce.objects.count() == 0


@pytest.mark.parametrize("role", ["bot_service", "kraken_service"])
def test_every_service_that_signs_may_draw_nonces(role: str) -> None:
    assert settings.ENVIRONMENT.environment == "test"
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
    try:
        with signing_turn(KEY) as drawn:
            assert drawn > 0
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")


def test_a_cancel_waits_for_the_call_under_way_and_for_no_other() -> None:
    order: list[str] = []
    under_way, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with signing_turn(KEY):
            under_way.set()
            go_on.wait(10)
        connection.close()

    def wait(name: str, *, is_urgent: bool) -> None:
        with signing_turn(KEY, is_urgent=is_urgent):
            order.append(name)
            time.sleep(0.05)
        connection.close()

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    under_way.wait(5)
    waiting = [("read", False), ("read", False), ("read", False), ("cancel", True)]
    for name, is_urgent in waiting:
        threads.append(threading.Thread(target=wait, args=(name,), kwargs={"is_urgent": is_urgent}))
        threads[-1].start()
        time.sleep(0.1)
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == ["cancel", "read", "read", "read"]
    assert _locks_held() == 0


def test_calls_that_are_not_urgent_come_in_their_order() -> None:
    order: list[int] = []
    under_way, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with signing_turn(KEY):
            under_way.set()
            go_on.wait(10)
        connection.close()

    def wait(number: int) -> None:
        with signing_turn(KEY):
            order.append(number)
        connection.close()

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    under_way.wait(5)
    for number in range(5):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        time.sleep(0.1)
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == list(range(5))
