"""RabbitMQ of a profile, with its own port mapper and distribution port: a RabbitMQ of the machine is not touched.

`/usr/sbin/rabbitmq-server` drops root and the environment; the script below /usr/lib keeps both.
"""

import os
import shutil
import signal
from pathlib import Path

from dev.base import secrets
from dev.base.profile import Profile, write_atomically
from dev.servers.server import Launch, Server

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

# RabbitMQ advises three times its write-ahead log, which is 512 MB where nothing is said
# (https://www.rabbitmq.com/docs/quorum-queues#resource-use): a flood of messages would set off the memory alarm.
LIMITS = """\
vm_memory_high_watermark.absolute = 512MB
raft.wal_max_size_bytes = 64000000
disk_free_limit.absolute = 200MB
"""

# The user is made at the first start, with the data; the password is kept beside it.
CONFIGURATION = """\
listeners.tcp.default = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {metrics_port}
default_user = muckard
default_pass = {password}
default_vhost = muckard
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
loopback_users = none
heartbeat = 30
vm_memory_calculation_strategy = rss
log.console = true
log.console.level = info
log.console.use_colors = off
log.file = false
collect_statistics_interval = 5000
{limits}"""


def folder(profile: Profile) -> Path:
    return profile.folder / "rabbitmq"


def prepare(profile: Profile) -> None:
    home = folder(profile)
    if not profile.answered("rabbitmq").is_file():
        # An interrupted first start leaves an incomplete database without data.
        shutil.rmtree(home / "data", ignore_errors=True)
    for name in ("data", "log"):
        (home / name).mkdir(parents=True, exist_ok=True)
    write_atomically(
        home / "rabbitmq.conf",
        CONFIGURATION.format(
            port=profile.ports["rabbitmq"],
            management_port=profile.ports["rabbitmq_management"],
            metrics_port=profile.ports["rabbitmq_metrics"],
            password=secrets.read(profile, "servers", "rabbitmq_password"),
            limits=LIMITS,
        ),
        mode=0o600,
    )
    write_atomically(home / "enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n")
    write_atomically(home / ".erlang.cookie", secrets.read(profile, "servers", "erlang_cookie"), mode=0o400)


def epmd(profile: Profile) -> Launch:
    """Erlang's port mapper. RabbitMQ would start one that outlives it; this one is stopped with the profile."""
    return Launch(
        command=(shutil.which("epmd") or "/usr/bin/epmd", "-address", "127.0.0.1", "-port", str(profile.ports["epmd"])),
        folder=folder(profile),
        environment=_environment(profile),
    )


def launch(profile: Profile) -> Launch:
    return Launch(command=(str(PROGRAM),), folder=folder(profile), environment=_environment(profile))


def _environment(profile: Profile) -> dict[str, str]:
    home = folder(profile)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "ERL_EPMD_PORT": str(profile.ports["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Spares the shell script around Erlang, whose traps hide a signal's outcome. It changes nothing else.
        "RUNNING_UNDER_SYSTEMD": "1",
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_DIST_PORT": str(profile.ports["rabbitmq_dist"]),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "data" / "feature_flags"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(home / "rabbitmq.pid"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
    }


SERVER = Server(
    name="rabbitmq",
    title="RabbitMQ",
    ports=("rabbitmq", "rabbitmq_management", "rabbitmq_metrics", "rabbitmq_dist"),
    prepare=prepare,
    launch=launch,
    program="beam.smp",
    stop_signal=signal.SIGTERM,
    start_seconds=90.0,
    before=epmd,
    before_name="epmd",
)
