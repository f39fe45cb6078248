"""Kafka behind TLS and a login: our clients get through, and what does not fit is refused with its reason."""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import TopicPartition
from pydantic import SecretStr

from apps.events.brokers.kafka import log
from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.consumer import event_consumer
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.kafka.producer import EventProducer
from tests.support.kafka_secured import PASSWORD, USERNAME, SecuredKafka, secured_kafka
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def configure(secured: SecuredKafka, settings: Any) -> Callable[..., None]:
    """What an operator sets, and what else a test changes of it."""

    def given(**changes: Any) -> None:
        wanted = {
            "kafka_bootstrap_servers": (secured.bootstrap,),
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ca_file": secured.ca_file,
            "kafka_username": SecretStr(USERNAME),
            "kafka_password": SecretStr(PASSWORD),
        }
        settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update=wanted | changes)

    return given


def test_a_record_makes_the_way_there_and_back(configure: Callable[..., None]) -> None:
    configure()
    with admin_client() as admin:
        admin.create_topics({"secured": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    producer = EventProducer("test")
    assert producer.knows("secured", seconds=10)
    producer.send("secured", key=b"key", value=b"{}", headers=[("ce_id", b"1")], timestamp_ms=1).get(10)
    producer.end()
    consumer = event_consumer(group="test", client_id="test")
    consumer.assign([TopicPartition("secured", 0)])
    consumer.seek_to_beginning()
    try:
        found = eventually(lambda: consumer.poll(timeout_ms=500), what="the record")
    finally:
        consumer.close(autocommit=False)
    [[record]] = found.values()
    assert (record.key, record.value) == (b"key", b"{}")


@pytest.fixture
def whole_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Other tests have had the same said to them a moment ago, and it is not repeated at once."""
    for name in log._NOISY:
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    return caplog


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        # Kafka hangs up right after its answer, and the client may notice that first.
        ({"kafka_password": SecretStr("not this one")}, "invalid credentials|disconnected"),
        ({"kafka_ca_file": None}, "self-signed certificate"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "disconnected"),
    ],
    ids=["another password", "a certificate that nobody vouches for", "no TLS"],
)
def test_what_does_not_fit_is_refused_and_the_log_says_why(
    configure: Callable[..., None], whole_log: pytest.LogCaptureFixture, wrong: dict[str, Any], reason: str
) -> None:
    configure(**wrong)

    with pytest.raises(BrokerUnavailable), admin_client(seconds=2):
        pass

    assert re.search(reason, whole_log.text)
    assert "not this one" not in whole_log.text


def test_a_login_that_is_not_given_is_named(configure: Callable[..., None]) -> None:
    configure(kafka_password=None)

    with pytest.raises(Exception, match=r"MUCKARD_KAFKA_PASSWORD is missing; it is needed for logging in to Kafka"):
        EventProducer("test")
