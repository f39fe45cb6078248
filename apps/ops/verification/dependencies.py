"""Whether each server answers this host, and the gateway."""

from collections.abc import Iterator

import requests
from django.conf import settings
from django.db import DatabaseError, connection
from redis import Redis, RedisError

from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable as KafkaUnavailable
from apps.events.brokers.rabbitmq import connection as rabbitmq
from apps.ops.verification.outcome import Outcome, problem

SECONDS = 5.0
GATEWAY_SECONDS = 10.0
_START = "Start it, and look whether its address and password in this process's settings are right."


def dependencies() -> Iterator[Outcome]:
    yield postgresql()
    yield redis()
    yield rabbitmq_()
    yield kafka()


def postgresql() -> Outcome:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            [version] = cursor.fetchone() or [""]
    except DatabaseError as error:
        connection.close()
        return problem("dependency postgresql", _line(error), _START)
    return Outcome("dependency postgresql", True, f"version {version}")


def redis() -> Outcome:
    try:
        with Redis.from_url(settings.ENVIRONMENT.redis_url, socket_timeout=SECONDS) as client:
            client.ping()
    except (RedisError, OSError) as error:
        return problem("dependency redis", _line(error), _START)
    return Outcome("dependency redis", True)


def rabbitmq_() -> Outcome:
    try:
        opened = rabbitmq.connect("verify", connect_seconds=SECONDS)
    except rabbitmq.BrokerUnavailable as error:
        return problem("dependency rabbitmq", error.message, _START)
    rabbitmq.release(opened)
    return Outcome("dependency rabbitmq", True)


def kafka() -> Outcome:
    try:
        with admin_client(client_id="muckard-verify", seconds=SECONDS):
            return Outcome("dependency kafka", True)
    except KafkaUnavailable as error:
        return problem("dependency kafka", error.message, _START)


def gateway(url: str) -> Outcome:
    """Whether `GET /health` is answered by the platform. Certificates have a check of their own."""
    try:
        answer = requests.get(f"{url}/health", timeout=GATEWAY_SECONDS, verify=False)  # noqa: S501  # nosec B501
    except requests.RequestException as error:
        return problem("dependency gateway", _line(error), f"Is it started, and is {url} its address? --gateway URL.")
    try:
        answer.json()["dependencies"]
    except (ValueError, LookupError, TypeError):
        detail = f"GET {url}/health is answered with {answer.status_code} by something else."
        return problem("dependency gateway", detail, "--gateway URL names the address; see the gateway's log.")
    return Outcome("dependency gateway", True, url)


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
