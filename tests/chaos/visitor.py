"""Somebody who uses the platform over HTTP all the while, and notes what was answered and how fast."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import requests

from apps.ops.smoke_test.client import Json, PlatformClient
from apps.ops.smoke_test.steps import BOT
from tests.chaos.services import PASSWORD

# A request never waits for a broker; this leaves room for a busy machine.
ANSWER_SECONDS = 2.0
# Nobody waits longer than this for any answer, not even while PostgreSQL is silent.
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Answer:
    request: str
    status: int
    seconds: float


@dataclass
class Visit:
    """What was asked, and answered. `status` is 0 where no answer came."""

    answers: list[Answer] = field(default_factory=list)

    def ask(self, client: PlatformClient, method: str, path: str, body: Json | None = None) -> None:
        headers = {"Authorization": f"Bearer {client.token}", "Idempotency-Key": uuid4().hex}
        began = time.monotonic()
        try:
            answer = requests.request(
                method, f"{client.base_url}{path}", json=body, headers=headers, timeout=PATIENCE_SECONDS
            )
            status = answer.status_code
        except requests.RequestException:
            status = 0
        self.answers.append(Answer(f"{method} {path}", status, time.monotonic() - began))

    @property
    def not_served(self) -> list[Answer]:
        return [each for each in self.answers if each.status != 200]

    @property
    def slowest(self) -> float:
        return max(each.seconds for each in self.answers)


class Visitor:
    """A trader with a paper account and a bot. Make it while everything is well."""

    def __init__(self, clients: dict[str, PlatformClient]) -> None:
        self._user, self._kraken = clients["user"], clients["kraken"]
        self._account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        self._user.post("/api/v1/auth/register", self._account)
        self._log_in()
        self._key = self._kraken.post("/api/v1/kraken/connect", {"label": "chaos", "mode": "paper"})
        self.bot = self._kraken.post("/api/v1/bot", {**BOT, "credential_id": self._key["id"]})

    def order_start(self) -> str:
        """The id of a command, accepted for a bot of its own."""
        bot = self._kraken.post("/api/v1/bot", {**BOT, "credential_id": self._key["id"]})
        return str(self._kraken.post(f"/api/v1/bot/{bot['id']}/start", accept=(202,))["id"])

    @contextmanager
    def visiting(self) -> Iterator[Visit]:
        """Changes and reads something again and again while the block runs."""
        self._log_in()
        visit, is_over = Visit(), threading.Event()
        thread = threading.Thread(target=self._visit, args=(visit, is_over.wait), name="visitor")
        thread.start()
        try:
            yield visit
        finally:
            is_over.set()
            thread.join()

    def _visit(self, visit: Visit, is_over: Callable[[float], bool]) -> None:
        number = 0
        while not is_over(PAUSE_SECONDS):
            number += 1
            visit.ask(self._user, "GET", "/health/live")
            # Publishes an event in the request's transaction.
            visit.ask(self._user, "PATCH", "/api/v1/user/me", {"name": f"Visitor {number}"})
            visit.ask(self._kraken, "GET", f"/api/v1/bot/{self.bot['id']}")

    def _log_in(self) -> None:
        """Tokens are short-lived."""
        token = self._user.post("/api/v1/auth/login", self._account)["access"]
        self._user.token = self._kraken.token = token
