"""The process table: its own consistency, and what follows from it."""

import pytest
from django.core.management import get_commands, load_command_class

from apps.core.process_table import PROCESSES, InvalidProcessTable, Process, process_of_heartbeat, read
from dev.config import process_docs

RELAY = 'kind = "command"\nservice = "staff"\nreplicas = "standby"\ndoes = "x"\n'


def test_two_processes_cannot_have_one_port() -> None:
    with pytest.raises(InvalidProcessTable, match="Port 9101 is given to both a and b"):
        read(f"[a]\n{RELAY}metrics_port = 9101\n[b]\n{RELAY}metrics_port = 9101\n")


def test_a_process_without_metrics_is_refused() -> None:
    with pytest.raises(InvalidProcessTable, match="relay: a process without metrics_port cannot be watched"):
        read(f"[relay]\n{RELAY}")


@pytest.mark.parametrize("field", ["prot = 1", 'kind = "comand"', 'replicas = "two"'])
def test_a_typo_is_refused_with_the_name_of_the_process(field: str) -> None:
    kept = [line for line in RELAY.splitlines() if not line.startswith(field.split(" ", maxsplit=1)[0])]
    with pytest.raises(InvalidProcessTable, match=r"^relay: "):
        read("\n".join(["[relay]", *kept, "metrics_port = 9101", field]))


@pytest.mark.parametrize(
    ("row", "process"),
    [
        ("relay", "relay"), ("relay.1", "relay"), ("retry-router.high", "retry-router"),
        ("worker-high@host", "worker-high"),
        ("event-consumer.kraken.bot-read-models", "event-consumer"), ("worker@host.example.com", "worker"),
    ],
)  # fmt: skip
def test_a_heartbeat_row_names_its_process_with_parts_and_host(row: str, process: str) -> None:
    assert process_of_heartbeat(row) == process


@pytest.mark.parametrize(
    "process", [each for each in PROCESSES.values() if each.kind == "command"], ids=lambda each: each.name
)
def test_every_process_that_is_a_management_command_can_be_started_by_its_name(process: Process) -> None:
    assert process.management_command in get_commands()


def test_the_docs_have_the_table_as_it_is() -> None:
    page = process_docs.PAGE.read_text()

    assert process_docs.with_table(page, PROCESSES) == page
    assert page.count("| relay | `manage.py run_relay` | staff | relay |") == 1


@pytest.mark.parametrize(
    ("old", "process"),
    [
        ("relay_events", "relay"), ("dispatch_commands", "dispatcher"), ("route_failures", "retry-router"),
        ("consume_events", "event-consumer"), ("consume_status", "status-consumer"), ("schedule_ticks", "scheduler"),
        ("reconcile_orders", "reconciler"), ("seal_audit", "checkpointer"), ("tend_accounts", "mailer"),
    ],
)  # fmt: skip
def test_the_old_name_of_a_command_runs_the_same_and_says_the_new_one(
    old: str, process: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = PROCESSES[process].management_command
    command = load_command_class(get_commands()[old], old)
    monkeypatch.setattr(type(command), "handle", lambda *_, **__: "ran")

    command.run_from_argv(["manage.py", old])

    shown = capsys.readouterr()
    assert shown.out == "ran\n"
    assert f"manage.py {old} is now called {new}." in shown.err
    assert type(command).__mro__[1].__module__.endswith(f".{new}")
