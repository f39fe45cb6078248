"""Redis of a profile: cache, throttles and wake-ups, in memory only. It is never the only copy of anything."""

import os
import shutil
import signal

from dev.base import secrets
from dev.base.profile import Profile, write_atomically
from dev.servers.server import Launch, Server

CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir {folder}
daemonize no
save ""
appendonly no
maxmemory 128mb
maxmemory-policy allkeys-lru
databases 4
"""


def prepare(profile: Profile) -> None:
    folder = profile.folder / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    password = secrets.read(profile, "servers", "redis_password")
    text = CONFIGURATION.format(port=profile.ports["redis"], password=password, folder=folder)
    write_atomically(folder / "redis.conf", text, mode=0o600)


def launch(profile: Profile) -> Launch:
    folder = profile.folder / "redis"
    return Launch(
        command=(shutil.which("redis-server") or "/usr/bin/redis-server", str(folder / "redis.conf")),
        folder=folder,
        environment={"PATH": os.environ.get("PATH", os.defpath)},
    )


SERVER = Server(
    name="redis",
    title="Redis",
    ports=("redis",),
    prepare=prepare,
    launch=launch,
    program="redis-server",
    stop_signal=signal.SIGTERM,
)
