"""The stream process itself: uvicorn, killed in the middle; the rights of the roles; the client in docs/api.md."""

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.bots.models.stream import StreamEntry, StreamNote
from apps.bots.stream import journal
from apps.core.process_table import PROCESSES
from apps.events.models import CommandExecution
from dev.base.profile import ROOT
from tests.factories.accounts import sign_tokens
from tests.factories.bots import TraderClient
from tests.integration.bots.conftest import World
from tests.integration.bots.stream.conftest import Open, alert, token_of
from tests.support.database_roles import as_role
from tests.support.event_stream import PATH, Client
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("kraken_service.urls")]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.kill_all()


def is_up(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@pytest.mark.timeout(240)
def test_a_killed_process_costs_no_event_and_tells_none_twice(processes: Processes, settings: Settings) -> None:
    sign_tokens(settings)
    port, user_id = free_port(), uuid4()
    token = token_of(user_id)
    program, *arguments = PROCESSES["stream"].command(address="127.0.0.1", port=port, witness="")
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    told: list[Any] = []

    def start() -> Any:
        process = processes.start("stream", command, SERVICE="kraken", MUCKARD_PROCESS="stream")
        eventually(lambda: is_up(port), seconds=90, what=processes.logs())
        return process

    process = start()
    client = Client(port, token)
    client.wait_for("ready")
    written = [alert(user_id) for _ in range(20)]
    client.wait_for("alert", 10)
    process.kill()
    process.wait()
    assert client.has_ended.wait(10)
    told += client.of("alert")
    written += [alert(user_id) for _ in range(20)]

    process = start()
    client = Client(port, token, last_id=client.last_id)
    client.wait_for("alert", 40 - len(told))
    told += client.of("alert")
    assert [each["id"] for each in told] == [str(each.id) for each in written]
    process.terminate()
    assert process.wait(timeout=15) in (0, -15)
    assert client.has_ended.wait(5)


def test_the_kraken_service_has_the_rights_that_the_stream_needs(trader: TraderClient, world: World) -> None:
    """And workers of bots note what they change without any right to see it."""
    bot = world.add_bot(trader.user_id)
    command_id = trader.post(f"/api/v1/bot/{bot.id}/start").json()["id"]
    with as_role("kraken_service"):
        alert(trader.user_id)
    with as_role("bot_service"):
        CommandExecution.objects.create(
            command_id=command_id, name="bot.start", aggregate_id=bot.id, state="running",
            first_delivered_at=timezone.now(),
        )  # fmt: skip
    assert set(StreamNote.objects.values_list("kind", flat=True)) == {"command", "alert"}
    with as_role("kraken_service"):
        journal.move_notes()
        assert journal.bounds().position == journal.entries_after(0)[-1].position
        journal.forget_old()
    assert set(StreamEntry.objects.values_list("kind", "user_id")) == {
        (kind, trader.user_id) for kind in ("alert", "receipt", "status")
    }


def test_the_client_in_the_documents_reads_and_goes_on(open_stream: Open, port: int) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    [source] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(source.partition("for name, data in events(")[0], names)
    user_id = uuid4()
    token, seen, has_started = token_of(user_id), [], threading.Event()

    def read() -> None:
        for name, data in names["events"](f"http://127.0.0.1:{port}{PATH}", lambda: token):
            has_started.set()
            if name == "alert":
                seen.append(data["id"])
            if len(seen) == 2:
                return

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    assert has_started.wait(20)
    made = [alert(user_id), alert(user_id)]
    reading.join(timeout=20)
    assert seen == [str(each.id) for each in made]
