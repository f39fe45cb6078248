"""The set of verification keys as a process knows it."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from django.db import OperationalError

from apps.core.identity.verification_keys import KeySet, KnownKey

KEY = KnownKey(generate_private_key(SECP256R1()).public_key(), None)


class Table:
    def __init__(self) -> None:
        self.rows: dict[str, KnownKey] = {"first": KEY}
        self.reads = 0
        self.is_down = False
        self.now = 1000.0

    def read(self) -> dict[str, KnownKey]:
        self.reads += 1
        if self.is_down:
            raise OperationalError("down")
        return dict(self.rows)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def keys(table: Table) -> KeySet:
    return KeySet(table.read, lambda: table.now)


def test_known_keys_are_read_once(table: Table, keys: KeySet) -> None:
    assert [keys.find("first") for _ in range(100)] == [KEY] * 100

    assert table.reads == 1


def test_a_new_key_is_found_when_a_token_names_it(table: Table, keys: KeySet) -> None:
    keys.find("first")
    table.rows["second"] = KEY
    table.now += 5

    assert keys.find("second") is KEY


def test_unknown_key_ids_make_a_read_every_five_seconds_at_most(table: Table, keys: KeySet) -> None:
    for tenth in range(100):
        table.now = 1000 + tenth / 10
        assert keys.find(f"made up {tenth}") is None

    assert table.reads <= 3


def test_a_key_that_is_gone_is_noticed_by_time_alone(table: Table, keys: KeySet) -> None:
    keys.find("first")
    table.rows.clear()
    table.now += 20

    assert keys.find("first") is None


def test_with_the_database_down_known_keys_go_on_verifying(table: Table, keys: KeySet) -> None:
    keys.find("first")
    table.is_down, table.now = True, 2000

    assert keys.find("first") is KEY
    assert keys.find("second") is None


def test_with_the_database_down_from_the_start_nothing_is_taken_for_granted(table: Table, keys: KeySet) -> None:
    table.is_down = True

    with pytest.raises(OperationalError):
        keys.find("first")


def test_while_one_thread_reads_others_use_what_is_known(table: Table) -> None:
    inside: list[Any] = []

    def read() -> dict[str, KnownKey]:
        if table.reads:
            inside.append(own.find("first"))
        return table.read()

    own = KeySet(read, lambda: table.now)
    own.find("first")
    table.now += 20
    own.find("first")

    assert inside == [KEY]
