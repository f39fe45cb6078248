"""What `verify_services` says of each kind of fault: where it is, and what to do."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from apps.events.brokers.topology import Finding, State
from apps.events.models import CommandExecution, InboxEntry, OutboxRow, ProcessHeartbeat
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.outbox.relay.relay import Relay
from apps.ops.consumers import PROBES
from apps.ops.verification import certificates, clocks, dependencies, processes, round_trips, topology, verify
from apps.ops.verification.outcome import Outcome
from tests.support.dispatching import drain_outbox
from tests.support.ports import free_ports
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.relaying import drive

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def nobody(settings: Any) -> str:
    """Every server's and service's address is one at which nobody listens."""
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    services = {f"{name}_port": port for name in ("user", "kraken", "bot", "console", "paper")}
    servers = {
        "redis_url": f"redis://{address}/0",
        "rabbitmq_url": f"amqp://{address}//",
        "kafka_bootstrap_servers": (address,),
        "paper_exchange_url": f"http://{address}",
        "rabbitmq_management_url": None,
    }
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update=servers | services)
    return f"http://{address}"


def problems(outcomes: Any) -> dict[str, str]:
    return {each.check: each.detail for each in outcomes if not each.ok}


@contextmanager
def answering(body: str, *, date: datetime | None = None) -> Iterator[str]:
    """An HTTP server whose every answer is `body`, dated as told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(date.timestamp() if date else timestamp)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_servers_that_answer_are_all_right(rabbitmq: RabbitMQ) -> None:
    assert problems(dependencies.dependencies()) == {}


def test_each_server_that_is_down_is_named(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "SECONDS", 0.5)

    found = problems([*dependencies.dependencies(), dependencies.gateway(nobody)])

    assert set(found) == {f"dependency {name}" for name in ("redis", "rabbitmq", "kafka", "gateway")}


def test_a_database_that_is_down_is_named_and_the_other_checks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def cursor(self) -> None:
            raise OperationalError("connection refused\nmore")

        def close(self) -> None:
            pass

    monkeypatch.setattr(dependencies, "connection", Down())

    assert dependencies.postgresql().detail == "connection refused"


def test_another_server_at_the_gateway_s_address_is_not_taken_for_the_gateway() -> None:
    with answering("hello") as url:
        assert "by something else" in dependencies.gateway(url).detail


def test_silent_and_absent_processes_are_named(nobody: str) -> None:
    now = timezone.now()
    silent = now - timedelta(seconds=60)
    ProcessHeartbeat.objects.create(name="relay", host="h", pid=1, state="up", beat_at=silent)
    ProcessHeartbeat.objects.create(name="mailer", host="h", pid=1, state="up", beat_at=now)

    found = problems(processes.processes(now))

    assert "Silent for 60 s" in found["process relay"]
    assert "start it" in found["process dispatcher"]
    assert "process user service" in found
    assert "process mailer" not in found


def test_drift_of_queues_and_topics_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    differing = Finding("queue bot.start", State.DIFFERS, "x-max-length is 5")
    monkeypatch.setattr(topology, "_rabbitmq", lambda: [differing, Finding("queue bot.stop", State.OK)])
    monkeypatch.setattr(topology, "_kafka", lambda: [Finding("topic user.events", State.MISSING)])

    found = problems(topology.topology())

    assert found == {"topology queue bot.start": "x-max-length is 5", "topology topic user.events": "missing"}


def test_a_queue_that_is_gone_is_drift(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    with rabbitmq.channel() as channel:
        channel.queue_delete("platform.probe")
    try:
        assert (
            problems(topology._compared("rabbitmq", topology._rabbitmq))["topology queue platform.probe"] == "missing"
        )
    finally:
        rabbitmq.declare()


@pytest.mark.parametrize(("seconds", "told"), [(-30, "behind"), (30, "ahead of")])
def test_an_exchange_s_clock_that_is_off_is_named(seconds: float, told: str) -> None:
    with answering(json.dumps({"result": {"unixtime": time.time() + seconds}})) as url:
        found = clocks._compare("exchange", clocks._of_exchange(url))

    assert not found.ok
    assert told in found.detail


def test_a_service_s_host_whose_clock_is_off_is_named() -> None:
    with answering("{}", date=datetime.now(UTC) + timedelta(minutes=2)) as url:
        assert "ahead of" in clocks._compare("user service", clocks._of_header(url)).detail
    with answering("{}") as url:
        assert clocks._compare("user service", clocks._of_header(url)).ok


def test_the_database_s_and_redis_clocks_are_read() -> None:
    assert clocks._compare("postgresql", clocks._database).ok
    assert clocks._compare("redis", clocks._redis).ok


@contextmanager
def speaking_tls(folder: Path, name: str, *, days: int) -> Iterator[tuple[int, Path]]:
    """A TLS server with a certificate for `name` that signs itself: its port, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400)).not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port, file
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("name", "days", "told"),
    [
        ("localhost", 90, None),
        ("localhost", 3, "It ends on"),
        ("localhost", -1, "expired"),
        ("trade.example.com", 90, "mismatch"),
    ],
)
def test_certificates_are_for_the_name_and_do_not_end_soon(
    tmp_path: Path, name: str, days: int, told: str | None
) -> None:
    with speaking_tls(tmp_path, name, days=days) as (port, file):
        found = certificates.certificate("gateway", "localhost", port, now=timezone.now(), ca_file=file)

    assert found.ok is (told is None)
    assert (told or "until") in found.detail.replace("Hostname", "hostname")


def test_a_certificate_that_nobody_trusts_is_named(tmp_path: Path) -> None:
    with speaking_tls(tmp_path, "localhost", days=90) as (port, _):
        assert "self-signed" in certificates.certificate("gateway", "localhost", port, now=timezone.now()).detail


def tripped(*, seconds: float = 0.3) -> dict[str, Outcome]:
    return {each.check: each for each in round_trips.round_trips(timezone.now(), seconds=seconds)}


def test_a_probe_that_nothing_carries_on_waits_in_the_outbox() -> None:
    found = tripped()

    assert found["round trip of a command"].detail == "It waits in the outbox."
    assert found["round trip of an event"].detail == "It waits in the outbox."


def test_a_probe_that_nothing_takes_lies_at_its_broker(rabbitmq: RabbitMQ) -> None:
    call_command("declare_topology", "--only", "kafka", stdout=StringIO())
    dispatcher, relay = Dispatcher(), Relay(lease_seconds=3.0)

    def carry_on(*_: Any) -> list[float | None]:
        """Where the check would wait, both are sent, and arrive nowhere."""
        drain_outbox(dispatcher)
        drive(relay, until=lambda: not OutboxRow.objects.exists())
        return [None, None]

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(round_trips, "_arrivals", carry_on)
            found = tripped()
    finally:
        dispatcher.close()
        relay.close()

    assert "platform.probe" in found["round trip of a command"].detail
    assert PROBES in found["round trip of an event"].detail
    assert not rabbitmq_rows().exists()


def test_probes_that_arrive_are_all_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def arrive(conditions: list[Callable[[], bool]], seconds: float) -> list[float | None]:
        now = timezone.now()
        for each in set(OutboxRow.objects.values_list("event_id", flat=True)):
            InboxEntry.objects.create(consumer=PROBES, event_id=each, processed_at=now)
            CommandExecution.objects.create(
                command_id=each, name="platform.probe", aggregate_id=each, state="done", first_delivered_at=now
            )
        return real(conditions, seconds)

    real = round_trips._arrivals
    monkeypatch.setattr(round_trips, "_arrivals", arrive)

    assert all(each.ok for each in tripped(seconds=5).values())


def test_a_check_that_breaks_is_a_problem_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> list[Outcome]:
        raise RuntimeError("unforeseen")

    fine = Outcome("fine", True)
    monkeypatch.setattr(verify, "dependencies", breaks)
    for name in ("processes", "certificates", "round_trips"):
        monkeypatch.setattr(verify, name, lambda *_, **__: [fine])
    for name in ("topology", "clocks"):
        monkeypatch.setattr(verify, name, lambda: [fine])
    monkeypatch.setattr(verify, "gateway", lambda _: fine)

    found = list(verify.verify(gateway_url="http://x", now=timezone.now(), seconds=1))

    assert [each.check for each in found if not each.ok] == ["dependencies"]
    assert len([each for each in found if each.ok]) == 6


@pytest.mark.parametrize("form", ["--json", "lines"])
def test_the_command_says_each_check_and_fails_on_a_problem(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    outcomes = [Outcome("dependency redis", True), Outcome("clock redis", False, "It is 9 s behind.", "Use NTP.")]
    monkeypatch.setattr("apps.ops.management.commands.verify_services.verify", lambda **_: outcomes)
    out = StringIO()

    with pytest.raises(CommandError, match="1 of 2 checks found a problem"):
        call_command("verify_services", *(["--json"] if form == "--json" else []), stdout=out)

    if form == "--json":
        assert [each["ok"] for each in json.loads(out.getvalue())] == [True, False]
    else:
        assert out.getvalue().splitlines()[1].startswith("PROBLEM clock redis")
        assert out.getvalue().splitlines()[1].endswith("It is 9 s behind. Use NTP.")
