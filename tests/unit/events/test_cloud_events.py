"""An envelope survives its way through a Kafka record and through JSON, byte for byte."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.messages.cloud_events import MalformedEvent, from_json, from_kafka, timestamp, to_json
from apps.messages.envelope import Envelope
from tests.support.envelopes import kafka_headers_of

ENVELOPE = Envelope(
    event_id=UUID("018f0000-0000-7000-8000-000000000001"),
    event_type="user.updated",
    schema_version=1,
    aggregate_type="user",
    aggregate_id=UUID("018f0000-0000-7000-8000-000000000002"),
    aggregate_seq=7,
    occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    user_id=None,
    correlation_id=UUID("018f0000-0000-7000-8000-000000000003"),
    causation_id=None,
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    payload=b'{"changed":["name"],"price":"0.10"}',
)


@given(
    user_id=st.none() | st.uuids(),
    causation_id=st.none() | st.uuids(),
    replay_id=st.none() | st.uuids(),
    actor=st.sampled_from(["", '{"kind":"anonymous"}']),
    sequence=st.integers(1, 2**63 - 1),
    occurred_at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    payload=st.binary(max_size=50),
)
def test_a_record_carries_the_whole_envelope(  # noqa: PLR0917 -- what hypothesis chooses
    user_id: UUID | None,
    causation_id: UUID | None,
    replay_id: UUID | None,
    actor: str,
    sequence: int,
    occurred_at: datetime,
    payload: bytes,
) -> None:
    envelope = replace(
        ENVELOPE,
        user_id=user_id,
        causation_id=causation_id,
        replay_id=replay_id,
        actor=actor,
        aggregate_seq=sequence,
        occurred_at=occurred_at,
        payload=payload,
    )
    assert from_kafka(kafka_headers_of(envelope), envelope.payload) == envelope


def test_json_carries_the_whole_envelope_with_the_same_payload_bytes() -> None:
    envelope = replace(ENVELOPE, user_id=uuid4(), causation_id=uuid4())
    assert from_json(to_json(envelope)) == envelope


def test_sequences_compare_as_text() -> None:
    headers = [
        dict(kafka_headers_of(replace(ENVELOPE, aggregate_seq=number)))["ce_sequence"] for number in (9, 10, 2**62)
    ]
    assert headers == sorted(headers)


def test_attribute_names_are_those_that_cloudevents_allows() -> None:
    names = [name.removeprefix("ce_") for name, _ in kafka_headers_of(ENVELOPE) if name.startswith("ce_")]
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_source", "ce_sequence", "ce_time", "ce_correlationid"])
def test_a_record_that_lacks_an_attribute_is_malformed(missing: str) -> None:
    headers = [(name, value) for name, value in kafka_headers_of(ENVELOPE) if name != missing]
    with pytest.raises(MalformedEvent):
        from_kafka(headers, b"{}")


@pytest.mark.parametrize(
    "headers", [[], [("ce_id", b"\xff")], [*kafka_headers_of(ENVELOPE)[:-1], ("ce_source", b"nonsense")]]
)
def test_whatever_a_stranger_writes_is_malformed_and_never_another_error(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(MalformedEvent):
        from_kafka(headers, None)


def test_times_are_told_in_utc() -> None:
    in_berlin = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    assert timestamp(in_berlin) == "2026-01-02T02:04:05.000000Z"
