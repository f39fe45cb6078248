"""Clocks beside this host's. Kafka's protocol tells no time, so its hosts' clocks are not compared."""

import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime

import requests
from django.conf import settings
from django.db import DatabaseError, connection
from redis import Redis, RedisError

from apps.ops.verification.outcome import Outcome, problem

SECONDS = 5.0
# Expiry of tokens, leases and nonces all bear a second (docs/orders.md, "Clocks").
LIMIT_SECONDS = 1.0
# A Date header has whole seconds.
OF_A_HEADER = 1.0
_ADVICE = "Let NTP set the clock of that host and of this one: tokens, leases and signed calls to an exchange need it."


def clocks() -> Iterator[Outcome]:
    yield from (_compare(name, ask) for name, ask in _sources().items())


def _sources() -> Mapping[str, Callable[[], tuple[float, float]]]:
    """By name, what reads a clock: seconds since 1970, and how exact they are."""
    env = settings.ENVIRONMENT
    found: dict[str, Callable[[], tuple[float, float]]] = {"postgresql": _database, "redis": _redis}
    for name in ("user", "kraken", "bot", "console"):
        address = f"http://{getattr(env, f'{name}_host')}:{getattr(env, f'{name}_port')}/health/live"
        found[f"{name} service"] = _of_header(address)
    if env.rabbitmq_management_url:
        found["rabbitmq"] = _of_header(f"{env.rabbitmq_management_url.rstrip('/')}/api/overview")
    found["paper exchange"] = _of_exchange(env.paper_exchange_url)
    if env.kraken_url:
        found["exchange"] = _of_exchange(env.kraken_url)
    return found


def _compare(name: str, ask: Callable[[], tuple[float, float]]) -> Outcome:
    check, before = f"clock {name}", time.time()
    try:
        told, exact_to = ask()
    except (DatabaseError, RedisError, requests.RequestException, OSError, ValueError, LookupError) as error:
        return problem(check, f"It tells no time: {type(error).__name__}.", "Start it: see the checks of dependencies.")
    after = time.time()
    # The clock was read between the two: only what lies outside of them is a difference for certain.
    difference = max(before - told - exact_to, told - after, 0.0)
    sign = "behind" if told < before else "ahead of"
    if difference > LIMIT_SECONDS:
        return problem(check, f"It is {difference:.1f} s {sign} this host's.", _ADVICE)
    return Outcome(check, True, "within a second of this host's")


def _database() -> tuple[float, float]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        [seconds] = cursor.fetchone() or [0]
    return float(seconds), 0.0


def _redis() -> tuple[float, float]:
    with Redis.from_url(settings.ENVIRONMENT.redis_url, socket_timeout=SECONDS) as client:
        seconds, micros = client.time()
    return seconds + micros / 1e6, 0.0


def _of_header(address: str) -> Callable[[], tuple[float, float]]:
    def ask() -> tuple[float, float]:
        answer = requests.get(address, timeout=SECONDS)
        return parsedate_to_datetime(answer.headers["Date"]).timestamp(), OF_A_HEADER

    return ask


def _of_exchange(url: str) -> Callable[[], tuple[float, float]]:
    """Kraken's public method Time: https://docs.kraken.com/api/docs/rest-api/get-server-time."""

    def ask() -> tuple[float, float]:
        answer = requests.get(f"{url.rstrip('/')}/0/public/Time", timeout=SECONDS)
        return float(answer.json()["result"]["unixtime"]), OF_A_HEADER

    return ask
