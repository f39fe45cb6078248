"""The starter's commands."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from dev.base import secrets
from dev.base.errors import Cancelled, StackError
from dev.base.locks import lock
from dev.base.profile import ROOT, Profile, load
from dev.base.progress import say, show_failure
from dev.config import circus, containers, environment
from dev.install import installer
from dev.run import checks, lifecycle, starter, suite, supervisor

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. 0 when it did what it says, 1 with a sentence when not, 130 after Ctrl-C.

    3 where the platform is up and its smoke test failed.
    """
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        environment.refuse_unknown(os.environ)
        profile = load(options.profile or options.default_profile, os.environ, options.port_offset)
        command: Callable[[Profile, argparse.Namespace], int] = options.command
        return command(profile, options)
    except StackError as error:
        show_failure(error)
        return 1
    except (KeyboardInterrupt, Cancelled):
        say("  Interrupted. What this call had started is stopped; the next run goes on from here.")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev/stack.py", description="The local stack of this checkout.")
    parser.set_defaults(default_profile="run")
    common = argparse.ArgumentParser(add_help=False)
    # No default here: subcommands share this option, and one that changes the default would change it for all.
    common.add_argument("--profile", help="run (default), test, or a name of your own")
    common.add_argument("--port-offset", type=int, help="for a name of your own: added to every port of `run`")
    chosen = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("servers", _servers, "start PostgreSQL, RabbitMQ, Redis and Kafka and wait until they answer"),
        ("check", _check, "run every check of the tree: lint, types, dependencies, documents, gateway"),
        ("clean", _clean, "stop the profile and remove its data, logs and secrets"),
        ("status", _status, "what runs; exit code 1 where a server is down"),
        ("containers", _containers, "make the secrets that docker/*.yml mount, in .local/docker/"),
        ("env", _env, "print the environment that talks to this profile, for eval"),
    ):
        chosen.add_parser(name, parents=[common], help=text).set_defaults(command=command)
    install_ = chosen.add_parser("install", parents=[common], help="install what is missing: packages, .venv, Kafka")
    install_.add_argument("--tests", action="store_true", help="also the browser that tests drive")
    install_.set_defaults(command=_install)
    stop = chosen.add_parser("stop", parents=[common], help="stop every process of the profile")
    stop.add_argument("--applications", action="store_true", help="leave the servers up")
    stop.set_defaults(command=_stop)
    whole = chosen.add_parser("run", parents=[common], help="start everything and stay until Ctrl-C")
    whole.add_argument("--detach", action="store_true", help="leave everything up and come back")
    whole.add_argument("--no-smoke-test", action="store_true", help="do not act as a client when all is up")
    whole.add_argument("--no-walk", action="store_true", help=argparse.SUPPRESS)  # the old name, for one release
    smoke = chosen.add_parser("smoke-test", parents=[common], help="act as a client of the platform that is up")
    smoke.set_defaults(command=_smoke_test)
    whole.set_defaults(command=_run)
    test = chosen.add_parser("test", parents=[common], help="start the servers, run pytest, stop what was started")
    test.add_argument("--keep", action="store_true", help="leave the servers up")
    lanes = "run the whole suite in two lanes at once, where the machine has room (1: one after the other)"
    test.add_argument("--lanes", type=int, choices=(1, 2), default=1, help=lanes)
    test.add_argument("arguments", nargs="*", help="for pytest, after --; all tests where none are given")
    test.set_defaults(command=_test, default_profile="test")
    unit = chosen.add_parser("unit", parents=[common], help="run the unit tests: no server, fewer random examples")
    unit.add_argument("arguments", nargs="*", help="for pytest, after --")
    unit.set_defaults(command=_unit, default_profile="test")
    manage = chosen.add_parser("manage", parents=[common], help="run a management command on this profile")
    manage.add_argument("arguments", nargs="+", help="of manage.py, after --; SERVICE names another service than staff")
    manage.set_defaults(command=_manage)
    logs = chosen.add_parser("logs", parents=[common], help="the end of every log, or of one")
    logs.add_argument("name", nargs="?")
    logs.add_argument("--lines", type=int, default=20)
    logs.set_defaults(command=_logs)
    return parser


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _install(profile: Profile, options: argparse.Namespace) -> int:
    starter.prepare(profile, with_browser=options.tests)
    say("  Everything is installed.")
    return 0


def _servers(profile: Profile, _: argparse.Namespace) -> int:
    with starter.starting(profile, "starting servers") as started:
        starter.servers(profile, started, with_browser=profile.is_for_tests)
    return 0


def _run(profile: Profile, options: argparse.Namespace) -> int:
    if options.no_walk:
        say("  --no-walk is called --no-smoke-test now; the next release does not know the old name.")
    with_smoke_test = not (options.no_smoke_test or options.no_walk)
    return starter.platform(profile, detach=options.detach, with_smoke_test=with_smoke_test)


def _smoke_test(profile: Profile, _: argparse.Namespace) -> int:
    profile.create()
    secrets.create(profile)
    outcome = starter.smoke_test(profile)
    if outcome:
        show_failure(starter.smoke_test_failure(profile))
    return outcome


def _test(profile: Profile, options: argparse.Namespace) -> int:
    return suite.tests(profile, options.arguments, keep=options.keep, lanes_wanted=options.lanes)


def _unit(profile: Profile, options: argparse.Namespace) -> int:
    return suite.unit_tests(profile, options.arguments)


def _manage(profile: Profile, options: argparse.Namespace) -> int:
    return starter.manage(profile, options.arguments)


def _stop(profile: Profile, options: argparse.Namespace) -> int:
    with lock(profile.folder / "lock", "stopping"):
        starter.stop(profile, [circus.SUPERVISOR] if options.applications else None)
    say(f"  Nothing of profile {profile.name} runs." if not options.applications else "  The servers stay up.")
    return 0


def _check(profile: Profile, _: argparse.Namespace) -> int:
    profile.create()
    return checks.run(profile)


def _clean(profile: Profile, _: argparse.Namespace) -> int:
    with lock(profile.folder / "lock", "cleaning"):
        starter.stop(profile)
        starter.remove_data(profile)
    say(f"  The data, logs and secrets of profile {profile.name} are gone.")
    return 0


def _status(profile: Profile, _: argparse.Namespace) -> int:
    profile.create()
    secrets.create(profile)
    statuses = [lifecycle.show_status(profile), supervisor.show_status(profile)]
    return 0 if all(statuses) else 1


def _env(profile: Profile, _: argparse.Namespace) -> int:
    profile.create()
    secrets.create(profile)
    for name, value in environment.contract(profile, os.environ).items():
        say(f"export {name}={shlex.quote(value)}")
    return 0


def _containers(_: Profile, __: argparse.Namespace) -> int:
    installer.install(frozenset())
    where = containers.create()
    say(f"  The secrets of the containers are in {where.relative_to(ROOT)}/. Start them with")
    say(f"    docker compose {' '.join(f'-f {file.relative_to(ROOT)}' for file in containers.FILES)} up --build")
    return 0


def _logs(profile: Profile, options: argparse.Namespace) -> int:
    found = sorted(profile.logs.glob("*.log"))
    wanted = [path for path in found if options.name in (None, path.stem)]
    if not wanted:
        names = ", ".join(path.stem for path in found) or "none yet"
        raise StackError(f"Profile {profile.name} has no such log; there are: {names}.")
    for path in wanted:
        say(f"==> {path}")
        lines = path.read_text(errors="replace").splitlines()
        say("\n".join(lines[-options.lines :]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
