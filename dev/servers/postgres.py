"""PostgreSQL of a profile: 127.0.0.1 only, scram passwords, no socket file, data below the profile's folder."""

import os
import pwd
import shutil
import signal
from pathlib import Path

from dev.base import commands, data_folder, processes, secrets
from dev.base.data_folder import ACCOUNT
from dev.base.errors import StackError
from dev.base.profile import Profile
from dev.servers.server import Launch, Server

PACKAGED = Path("/usr/lib/postgresql")
OLDEST_MAJOR = 14
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


def programs(major: str | None = None) -> Path | None:
    """The folder of initdb and postgres: the newest that is installed, or that of one major version."""
    found = [path.parent for path in PACKAGED.glob("*/bin/postgres") if path.parent.parent.name.isdigit()]
    usable = [path for path in found if int(path.parent.name) >= OLDEST_MAJOR]
    if major is not None:
        usable = [path for path in usable if path.parent.name == major]
    return max(usable, key=lambda path: int(path.parent.name), default=None)


def prepare(profile: Profile) -> None:
    """Creates cluster and database in another folder, and renames it when it is complete."""
    data = data_folder.of(profile) / "data"
    if (data / "PG_VERSION").is_file():
        _forget_dead(data)
        return
    _refuse_foreign(data_folder.of(profile).parents[1])
    folder, user = _programs(None), _user()
    fresh = data_folder.of(profile) / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    password = fresh.with_name("password")
    password.write_text(secrets.read(profile, "servers", "postgres_password"))
    password.chmod(0o600)
    if user:
        shutil.chown(fresh, user)
        shutil.chown(password, user)
    given = processes.setup_environment(profile, _ENVIRONMENT)
    log = profile.log("postgres-initdb")
    log.unlink(missing_ok=True)
    try:
        code = commands.run_logged(
            [
                str(folder / "initdb"),
                f"--pgdata={fresh}",
                "--username=muckard",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            log,
            environment=given,
            folder=fresh,
            user=user,
        )
        if code == 0:
            code = commands.run_logged(
                [str(folder / "postgres"), "--single", "-D", str(fresh), "template1"],
                log,
                environment=given,
                folder=fresh,
                user=user,
                text="CREATE DATABASE muckard\n",
            )
    finally:
        password.unlink(missing_ok=True)
    if code:
        raise StackError("PostgreSQL's data folder could not be made.", log=log, advice="see the log above")
    fresh.replace(data)


def remark(profile: Profile) -> str:
    """Names the data folder if it is not in the profile's folder."""
    elsewhere = data_folder.of(profile) != profile.folder / "postgres"
    return f" (data in {data_folder.of(profile)}: {ACCOUNT} may not enter this folder)" if elsewhere else ""


def launch(profile: Profile) -> Launch:
    data = data_folder.of(profile) / "data"
    folder = _programs((data / "PG_VERSION").read_text().strip())
    settings = {
        "port": str(profile.ports["postgres"]),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "log_lock_waits": "on",
    }
    if profile.is_for_tests:
        # A crash of the machine may cost the data; a killed server still loses no commit.
        settings |= {"fsync": "off", "full_page_writes": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Launch(
        command=(str(folder / "postgres"), "-D", str(data), *options),
        folder=data,
        environment=_ENVIRONMENT,
        user=_user(),
    )


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ACCOUNT).pw_name
    except KeyError:
        raise StackError(
            f"PostgreSQL refuses to run as root, and the account {ACCOUNT!r} of its package is missing.",
            advice="reinstall the package postgresql-common, or run this as another user",
        ) from None


def _programs(major: str | None) -> Path:
    found = programs(major)
    if found is None:
        wanted = f"PostgreSQL {major}, which made this profile's data," if major else "PostgreSQL"
        raise StackError(f"{wanted} is not installed below {PACKAGED}.", advice="install it, or run `make clean`")
    return found


def _refuse_foreign(folder: Path) -> None:
    """In a folder that others may write to (/var/tmp), another user may have created a folder or link of that name."""
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != os.geteuid()):
        raise StackError(
            f"{folder}, where PostgreSQL's data would go, belongs to somebody else.",
            advice="remove it, or move this checkout to a folder that the account postgres may enter",
        )


def _forget_dead(data: Path) -> None:
    """Removes the pid file of a killed server. PostgreSQL refuses to start while any process has that pid."""
    note = data / "postmaster.pid"
    if note.is_file():
        first = (note.read_text().splitlines() or [""])[0].strip()
        if not (first.isdigit() and processes.runs(int(first), "postgres")):
            note.unlink()


SERVER = Server(
    name="postgres",
    title="PostgreSQL",
    ports=("postgres",),
    prepare=prepare,
    launch=launch,
    program="postgres",
    # Fast: clients are cut off, transactions roll back.
    stop_signal=signal.SIGINT,
    remark=remark,
)
