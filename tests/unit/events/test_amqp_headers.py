"""An envelope survives its way through AMQP headers, and what is not ours is refused with a reason."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.events.brokers.rabbitmq.headers import (
    MalformedMessage,
    attempt_of,
    deferrals_of,
    envelope_from,
    headers_of,
    version_of,
)
from apps.messages.envelope import Envelope

TIMES = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ENVELOPES = st.builds(
    Envelope,
    event_id=st.uuids(),
    event_type=st.sampled_from(["bot.started", "bot.error"]),
    schema_version=st.integers(1, 9),
    aggregate_type=st.sampled_from(["bot", "user"]),
    aggregate_id=st.uuids(),
    aggregate_seq=st.integers(1, 2**63 - 1),
    occurred_at=TIMES,
    user_id=st.none() | st.uuids(),
    correlation_id=st.uuids(),
    causation_id=st.none() | st.uuids(),
    traceparent=st.just("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    payload=st.binary(max_size=50),
    replay_id=st.none(),
    actor=st.sampled_from(["", '{"kind":"anonymous"}']),
)


@given(ENVELOPES)
def test_what_is_sent_is_what_arrives(envelope: Envelope) -> None:
    assert envelope_from(headers_of(envelope), envelope.payload) == envelope


def headers() -> dict[str, Any]:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    key = UUID(int=1)
    return headers_of(Envelope(key, "bot.started", 1, "bot", key, 7, moment, None, key, None, "x", b""))


def test_sequences_compare_as_text() -> None:
    assert headers()["cloudEvents_sequence"] == "00000000000000000007"


@pytest.mark.parametrize(
    "change",
    [
        {"cloudEvents_id": "not an id"},
        {"cloudEvents_id": None},
        {"cloudEvents_source": "bot"},
        {"cloudEvents_source": "/a/b/c"},
        {"cloudEvents_sequence": "x"},
        {"cloudEvents_time": "yesterday"},
        {"cloudEvents_schemaversion": ""},
        {"cloudEvents_causationid": 5},
    ],
)
def test_headers_that_are_not_ours_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        envelope_from(headers() | change, b"")


@pytest.mark.parametrize("name", sorted(set(headers()) - {"x-attempt", "traceparent", "cloudEvents_specversion"}))
def test_a_header_that_is_missing_is_missed_unless_it_is_for_others(name: str) -> None:
    for_others = {"cloudEvents_dataschema", "cloudEvents_partitionkey"}
    found = headers()
    del found[name]
    if name in for_others:
        assert envelope_from(found, b"").aggregate_seq == 7
    else:
        with pytest.raises(MalformedMessage):
            envelope_from(found, b"")


@pytest.mark.parametrize(
    ("value", "attempt", "deferrals"), [(3, 3, 3), (0, 1, 0), (-5, 1, 0), ("3", 1, 0), (None, 1, 0)]
)
def test_counts_are_never_nonsense(value: Any, attempt: int, deferrals: int) -> None:
    assert attempt_of({"x-attempt": value}) == attempt
    assert deferrals_of({"x-deferrals": value}) == deferrals


@pytest.mark.parametrize(("headers", "version"), [({}, 1), ({"cloudEvents_schemaversion": "2"}, 2)])
def test_a_message_that_names_no_version_is_of_the_first(headers: dict[str, Any], version: int) -> None:
    assert version_of(headers) == version
