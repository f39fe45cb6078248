"""The verifier process reports to health, metrics and log; the command prints its result."""

import io
import threading
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from apps.audit import checkpoints, witness
from apps.audit.verification import Verdict, verify
from apps.audit.verifier import Verifier
from apps.audit.write_archive import Partition, write_archive
from apps.events.models import ProcessHeartbeat
from apps.events.process import heartbeats
from tests.integration.audit.conftest import checkpoint_all
from tests.integration.audit.tampering import Store, make_store
from tests.support.database_roles import as_role

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose checkpoints are signed with the key that the commands have."""
    pem = settings.ENVIRONMENT.secret("audit_signing_key", needed_for="this test")
    return make_store(checkpoints.signing_key(pem), tmp_path / "witness")


def _verify_once(store: Store) -> ProcessHeartbeat:
    """Runs one verification of the process; returns the heartbeat after it."""
    verifier = Verifier(lambda: verify(public_key=store.key.public_key(), witness=store.witness), every=900)
    deadline = time.monotonic() + 20
    before = _count()
    while _count() == before:
        assert time.monotonic() < deadline
        assert verifier.step() > 0
        time.sleep(0.01)
    # An unchanged heartbeat is written about once a second.
    heartbeats._written.pop("verifier", None)
    verifier.step()
    verifier.close()
    return ProcessHeartbeat.objects.get(name="verifier")


def _count() -> float:
    outcomes = ("whole", "diverged", "failed")
    return sum(_figure("audit_verifications_total", outcome=outcome) for outcome in outcomes)


def _figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_whole_store_is_up_with_what_was_proved(store: Store) -> None:
    began = time.time()
    beat = _verify_once(store)

    assert beat.state == "up"
    assert beat.detail.endswith(
        "13 events, 12 of them under 4 signed checkpoints; compared with 4 notes of the witness, up to 12 sealed events"
    )
    figures = ("audit_divergences", "audit_sealed_events", "audit_unsealed_events", "audit_witness_notes")
    assert [_figure(name) for name in figures] == [0, 12, 1, 4]
    assert _figure("audit_last_success_timestamp_seconds") >= began


@pytest.mark.usefixtures("_as_superuser")
def test_a_store_that_is_not_whole_is_down_with_the_first_divergence(store: Store) -> None:
    store.forge("1 day", aggregate=store.users[1])
    success = _figure("audit_last_success_timestamp_seconds")

    with capture_logs() as logs:
        beat = _verify_once(store)

    assert beat.state == "down"
    assert f"unsealed: user/{store.users[1]} #5" in beat.detail
    assert [(log["event"], log["log_level"]) for log in logs] == [("event_store_not_whole", "critical")]
    assert _figure("audit_divergences") == 1
    assert _figure("audit_last_success_timestamp_seconds") == success


def test_a_verification_that_fails_is_down_and_no_success(store: Store) -> None:
    store.witness.unlink()
    store.witness.mkdir()
    success = _figure("audit_last_success_timestamp_seconds")
    assert _verify_once(store).state == "down"
    assert _figure("audit_last_success_timestamp_seconds") == success


def test_the_process_beats_while_a_verification_takes_its_time() -> None:
    heartbeats._written.pop("verifier", None)
    goes_on = threading.Event()

    def slowly() -> Verdict:
        goes_on.wait(20)
        return Verdict()

    verifier = Verifier(slowly, every=900)
    verifier.step()
    try:
        beat = ProcessHeartbeat.objects.get(name="verifier")
        assert (beat.state, beat.detail) == ("up", "The first verification is in progress.")
    finally:
        goes_on.set()


def test_the_verifier_s_role_is_enough_and_writes_nothing_but_its_heartbeat(store: Store) -> None:
    with as_role("verifier"):
        assert verify(public_key=store.key.public_key(), witness=store.witness).divergences == []
        heartbeats.beat("verifier", "up")


def test_a_platform_that_has_sealed_nothing_yet_is_whole_without_the_file(
    key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    assert verify(public_key=key.public_key(), witness=tmp_path / "witness").divergences == []


def test_the_command_names_how_much_of_the_witness_was_compared(store: Store) -> None:
    text = _run("--witness", str(store.witness))
    assert "witness: notes compared     │ 4" in text
    assert "witness: up to sealed event │ 12 of 12" in text


def test_the_command_says_where_no_witness_was_compared(store: Store) -> None:
    assert "No witness was compared: name its file with --witness." in _run()


def test_a_witness_that_ends_before_the_database_is_told_and_after_a_while_a_divergence(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_notes(store.notes()[:2])
    text = _run("--witness", str(store.witness))
    assert "witness: up to sealed event │ 6 of 12" in text
    assert "witness: later checkpoints  │ 2" in text

    monkeypatch.setattr(witness, "_APPENDED_WITHIN", timedelta(0))
    with pytest.raises(CommandError, match="it ends at size 6, and the database has 2 checkpoints after it"):
        _run("--witness", str(store.witness))


def test_a_store_with_archives_says_first_that_their_folder_is_missing(
    users: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    checkpoint_all(key)
    write_archive(this_month, folder=tmp_path, now=timezone.now())

    (found,) = verify(public_key=key.public_key()).divergences

    assert str(found) == (
        f"archive: {this_month.name} #0: 1 months are archived in files: name their folder with --archive FOLDER. "
        "Without them the events cannot be verified"
    )


def test_seconds_between_verifications_are_above_zero(users: list[UUID]) -> None:
    with pytest.raises(CommandError, match="above 0"):
        _run("--every", "0")


def _run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("audit_verify", *arguments, stdout=output, stderr=io.StringIO())
    return output.getvalue()
