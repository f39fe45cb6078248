"""The starter's commands as stories: what is brought up in which order, and what is undone when it fails."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from dev.base import commands, data_folder, processes, secrets
from dev.base.errors import StackError
from dev.base.locks import lock
from dev.base.profile import ROOT, Profile
from dev.base.progress import say, show_failure, step
from dev.config import circus, environment, tls
from dev.install import installer
from dev.run import lifecycle, supervisor

SERVER_REFUSALS = (lifecycle.refuse_busy_ports, lifecycle.refuse_too_little_memory)
PATIENCE_SECONDS = 20.0
ADMIN = "admin@example.com"
# Exit codes of the starter: 1 says that the platform is not up, this one that it is up and does not do its work.
SMOKE_TEST_FAILED = 3


@contextmanager
def starting(profile: Profile, doing: str) -> Iterator[list[str]]:
    """Yields the list of what this call has started; stops just that where the block fails or is interrupted."""
    profile.create()
    started: list[str] = []
    with lock(profile.folder / "lock", doing):
        processes.end_forgotten_helpers(profile)
        try:
            yield started
        except BaseException:
            with clearing_up():
                stop(profile, started)
            raise


@contextmanager
def clearing_up() -> Iterator[None]:
    """A second Ctrl-C does not cut off what the first one asked for: it takes seconds and leaves nothing behind."""
    commands.reset()
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare(
    profile: Profile, refuse_busy: Sequence[Callable[[Profile], None]] = (), *, with_browser: bool = False
) -> None:
    """What every command that starts something needs first. A port that is taken is said before anything is done."""
    profile.create()
    secrets.create(profile)
    for refuse in refuse_busy:
        refuse(profile)
    installer.install(frozenset(server.name for server in lifecycle.local_servers(profile)), with_browser=with_browser)
    secrets.create_key_pairs(profile)


def servers(profile: Profile, started: list[str], *, with_browser: bool = False) -> None:
    """The servers and nothing else; `with_browser` installs what tests of pages need besides."""
    began_at = time.monotonic()
    prepare(profile, SERVER_REFUSALS, with_browser=with_browser)
    lifecycle.start_servers(profile, started)
    say(f"  The servers of profile {profile.name} are ready after {time.monotonic() - began_at:.1f} s.")


def platform(profile: Profile, *, detach: bool, with_smoke_test: bool) -> int:
    """Everything, in the order in which one needs the other, then the smoke test; stays until Ctrl-C unless `detach`.

    A failed smoke test stops nothing: what is up is what shows why it failed. Where this call comes back, its exit
    code is SMOKE_TEST_FAILED then.
    """
    outcome = 0
    began_at = time.monotonic()
    with starting(profile, "starting the platform") as started:
        prepare(profile, [*SERVER_REFUSALS, supervisor.refuse_busy_ports, refuse_another_market])
        check_market(profile)
        lifecycle.start_servers(profile, started, then={"postgres": lambda: set_up_database(profile)})
        declare_topology(profile)
        if not supervisor.is_up(profile):
            started.append(circus.SUPERVISOR)
            supervisor.start(profile)
        supervisor.wait_until_ready(profile)
        say(f"  The platform is ready after {time.monotonic() - began_at:.1f} s.")
        if with_smoke_test:
            outcome = smoke_test(profile)
    show_addresses(profile)
    if outcome:
        show_failure(smoke_test_failure(profile))
    if detach or not started:
        return outcome
    try:
        say("  Ctrl-C stops it.")
        supervisor.watch(profile)
        say("  circus has ended; stopping the rest.")
        return 1
    finally:
        with clearing_up(), lock(profile.folder / "lock", "stopping"):
            stop(profile, started)


def manage(profile: Profile, arguments: Sequence[str]) -> int:
    """A management command in front of the user, with the environment of the profile's processes."""
    prepare_without_servers(profile)
    given = environment.for_processes(profile, os.environ) | {"SERVICE": os.environ.get("SERVICE", "staff")}
    return run_to_its_end([str(installer.PYTHON), "manage.py", *arguments], given)


def prepare_without_servers(profile: Profile) -> None:
    """Installs packages and makes secrets, where they are missing."""
    profile.create()
    secrets.create(profile)
    installer.install(frozenset())
    secrets.create_key_pairs(profile)


def run_to_its_end(command: Sequence[str], given: Mapping[str, str]) -> int:
    """Runs a program in front of the user. Ctrl-C reaches it too: it gets the time to clear up after itself."""
    child = subprocess.Popen(list(command), cwd=ROOT, env=dict(given))
    try:
        return child.wait()
    except BaseException:
        with clearing_up():
            try:
                child.wait(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        raise


def stop(profile: Profile, names: Sequence[str] | None = None) -> None:
    """Ends the applications, then the servers: all of the profile, or those named. Raises StackError for what stays."""
    if names is None or circus.SUPERVISOR in names:
        supervisor.stop(profile)
    lifecycle.stop_servers(profile, names)
    if names is not None:
        return
    processes.stop_all(profile)
    left = processes.running(profile)
    if left:
        raise StackError(f"These do not end: {', '.join(f'{each.name} (pid {each.pid})' for each in left)}.")


def remove_data(profile: Profile) -> None:
    """All that a profile keeps, but for its lock and where its ports begin. What is installed stays."""
    shutil.rmtree(data_folder.of(profile), ignore_errors=True)
    for path in profile.folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in {"lock", "profile.json"}:
            path.unlink()


def refuse_another_market(profile: Profile) -> None:
    """Raises StackError where the platform is up and replays something else than MARKET_DATA names: it would go on."""
    wanted = environment.market_data(os.environ)
    for process in processes.named(profile, circus.SUPERVISOR):
        played = processes.variable(process.pid, "MARKET_DATA") or ""
        if wanted and wanted != played:
            raise StackError(
                f"The platform of profile {profile.name} is up and replays {played or 'a made-up market'}.",
                advice=f"make stop PROFILE={profile.name}, then start it with MARKET_DATA={wanted}",
            )


def check_market(profile: Profile) -> None:
    """What the paper exchange will replay. Raises StackError with the line that is wrong in a malformed file."""
    with step("Checking the market data") as current:
        shown = _manage(profile, "check_market_data", "The market data cannot be used.", SERVICE="paper")
        current.result = f"Market: {shown[-1]}"


def set_up_database(profile: Profile) -> None:
    with step("Setting up the database") as current:
        _manage(profile, "setup_database", "The database could not be set up.", MUCKARD_DB_ROLE="owner")
        _manage(profile, "restart_market", "The market could not be restarted.", "--if-ended", SERVICE="paper")
        open_admin_account(profile)
        current.result = "The database is up to date"


def open_admin_account(profile: Profile) -> None:
    """The account for the staff site, once a profile: its password is among the profile's secrets."""
    note = profile.folder / "admin"
    if not note.is_file():
        password = secrets.read(profile, "staff", "muckard_admin_password")
        arguments = ("--email", ADMIN, "--role", "admin", "--name", "Local administrator")
        _manage(
            profile, "create_staff", "The account for the staff site is missing.", *arguments, STAFF_PASSWORD=password
        )
        note.write_text(f"{ADMIN}\n")


def smoke_test(profile: Profile) -> int:
    """Acts as a client of the platform, in front of the user: 0, or SMOKE_TEST_FAILED after a sentence on what failed.

    Raises StackError where the platform is down.
    """
    if not supervisor.is_up(profile):
        raise StackError(f"The platform of profile {profile.name} is down.", advice=f"make up PROFILE={profile.name}")
    say()
    command = [str(installer.PYTHON), "manage.py", "smoke_test", "--witness", str(circus.witness(profile))]
    given = _platform_environment(profile)
    if tls.is_self_signed(os.environ):
        given["REQUESTS_CA_BUNDLE"] = str(tls.self_signed_files(profile).certificate)
    return SMOKE_TEST_FAILED if run_to_its_end(command, given) else 0


def smoke_test_failure(profile: Profile) -> StackError:
    """What to tell a person; what failed is the last line of the smoke test itself."""
    logs = profile.logs.relative_to(ROOT)
    return StackError(
        "The smoke test failed; the platform is up and stays up.",
        advice=f"its last line says what failed, {logs}/ may say why. Again: make smoke-test PROFILE={profile.name}",
    )


def declare_topology(profile: Profile) -> None:
    with step("Declaring topics, exchanges and queues") as current:
        _manage(profile, "declare_topology", "Topics and queues could not be declared.")
        current.result = "Topics, exchanges and queues are declared"


def show_addresses(profile: Profile) -> None:
    gateway = environment.contract(profile, os.environ)["MUCKARD_PUBLIC_URL"]
    say()
    for title, address in (
        ("Console", f"{gateway}/app/"),
        ("Gateway", f"{gateway}/health"),
        ("API documentation", f"{gateway}/api/docs/user/ and {gateway}/api/docs/kraken/"),
        ("Staff site", f"{gateway}/admin/"),
        ("Flower", f"{gateway}/flower/ (staff)"),
        ("Logs", f"{profile.logs.relative_to(ROOT)}/"),
    ):
        say(f"  {title:<18} {address}")
    for title, folder, name in (
        ("trader demo@example.com", "staff", "muckard_demo_password"),
        (f"staff {ADMIN}", "staff", "muckard_admin_password"),
    ):
        say(f"  {'Log-in':<18} {title} / {secrets.read(profile, folder, name)}")
    say()


def _manage(profile: Profile, command: str, failure: str, *arguments: str, **variables: str) -> list[str]:
    """One of the platform's own commands, run to its end; the lines that it printed."""
    log = profile.log(command)
    log.unlink(missing_ok=True)
    given = processes.setup_environment(profile, _platform_environment(profile) | variables)
    called = [str(installer.PYTHON), "manage.py", command, *arguments]
    if commands.run_logged(called, log, environment=given, folder=ROOT):
        raise StackError(failure, log=log, advice="the log says why")
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[1:]


def _platform_environment(profile: Profile) -> dict[str, str]:
    return environment.for_processes(profile, os.environ) | {"SERVICE": "staff"}
