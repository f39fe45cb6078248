"""PostgreSQL, RabbitMQ, Redis and Kafka of a profile of its own, behind links, to be frozen, stopped and started."""

import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit, urlunsplit

from dev.base import processes, secrets
from dev.base.processes import OwnProcess
from dev.base.profile import Profile, load, write_atomically
from dev.config import environment
from dev.install import installer
from dev.run import lifecycle, starter
from dev.servers.registry import SERVERS
from dev.servers.server import Launch, Server
from tests.chaos.network import Link
from tests.support.ports import free_offset

PROFILE = "chaos"
# Where a URL or a port of the caller's environment leads is nobody's to kill.
NOT_INHERITED = frozenset(environment.SERVER_URLS.values())


class Servers:
    """Starts from nothing; `links` stand between these servers and everything that `urls` is given to."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._servers = {server.name: server for server in SERVERS}
        self.links = {name: Link(profile.ports[name]) for name in self._servers}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._frozen: dict[str, list[OwnProcess]] = {}

    def start_all(self) -> None:
        epmd = self._servers["rabbitmq"].before
        assert epmd is not None
        self._servers["rabbitmq"].prepare(self.profile)
        self._processes["epmd"] = self._spawn("epmd", epmd(self.profile))
        with ThreadPoolExecutor(len(self._servers)) as pool:
            list(pool.map(self.start, self._servers))

    def start(self, name: str) -> None:
        """Returns once it answers."""
        server = self._servers[name]
        server.prepare(self.profile)
        if name == "kafka":
            self._lead_kafka_clients_through_the_link()
        self._processes[name] = self._spawn(name, server.launch(self.profile))
        probe = lifecycle.ask(name, self.direct_url(name), server.start_seconds)
        text = probe.communicate()[0]
        assert probe.returncode == 0, f"{name} does not start: {text}\n{self._tail(name)}"
        # Without this note the starter takes the data for that of a first start that was cut off.
        write_atomically(self.profile.answered(name), f"{self._processes[name].pid}\n")

    def stop(self, name: str, *, first: signal.Signals | None = None) -> None:
        """In order, or by the signal given."""
        server = self._servers[name]
        self.thaw(name)
        processes.stop(self._heads(server), first=first or server.stop_signal, seconds=server.stop_seconds)
        rest = processes.named(self.profile, name)
        processes.wait_until_gone(rest, 3.0)
        processes.stop(processes.named(self.profile, name), first=signal.SIGKILL, seconds=5.0)
        self._processes.pop(name).wait(10)

    def freeze(self, name: str) -> None:
        frozen = [each for each in processes.named(self.profile, name) if each.program == self._servers[name].program]
        assert frozen, f"{name} does not run"
        self._frozen[name] = frozen
        for each in frozen:
            each.send(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        for each in self._frozen.pop(name, []):
            each.send(signal.SIGCONT)

    def heal(self) -> None:
        """Every server runs and can be reached."""
        for name in self._servers:
            self.thaw(name)
            if name not in self._processes:
                self.start(name)
            self.links[name].heal()

    def kill_all(self) -> None:
        """The data is worth nothing any more: no farewell."""
        processes.stop(processes.running(self.profile), first=signal.SIGKILL, seconds=10.0)
        for process in self._processes.values():
            process.wait(10)
        for link in self.links.values():
            link.close()

    def direct_url(self, name: str) -> str:
        return environment.local_url(self.profile, name)

    def urls(self) -> dict[str, str]:
        """The variables that lead to the servers, through the links."""
        return {variable: self._linked_url(name) for name, variable in environment.SERVER_URLS.items()}

    def rabbitmqctl(self, *arguments: str) -> None:
        launch = self._servers["rabbitmq"].launch(self.profile)
        command = [str(launch.command[0]).replace("rabbitmq-server", "rabbitmqctl"), *arguments]
        subprocess.run(command, env=dict(launch.environment), check=True, capture_output=True, timeout=60)

    def _linked_url(self, name: str) -> str:
        port = self.links[name].port
        if name == "kafka":
            return f"127.0.0.1:{port}"
        parts = urlsplit(self.direct_url(name))
        return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))

    def _lead_kafka_clients_through_the_link(self) -> None:
        path = self.profile.folder / "kafka" / "server.properties"
        there = f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.profile.ports['kafka']}"
        text = path.read_text()
        assert there in text
        linked = text.replace(there, f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.links['kafka'].port}")
        # So that a killed consumer is missed sooner than the platform asks for.
        write_atomically(path, linked + "group.min.session.timeout.ms=1000\n")

    def _spawn(self, name: str, launch: Launch) -> "subprocess.Popen[bytes]":
        return processes.spawn(
            self.profile, name, launch.command, environment=launch.environment, folder=launch.folder, user=launch.user
        )

    def _heads(self, server: Server) -> Sequence[OwnProcess]:
        own = [each for each in processes.named(self.profile, server.name) if each.program == server.program]
        numbers = {each.pid for each in own}
        return [each for each in own if each.parent not in numbers]

    def _tail(self, name: str) -> str:
        return self.profile.log(name).read_text(errors="replace")[-3000:]


def fresh_profile() -> Profile:
    """Ends what an earlier session was killed in the middle of, and removes what it left."""
    profile = load(PROFILE, {}, free_offset(PROFILE))
    profile.create()
    processes.stop(processes.running(profile), first=signal.SIGKILL, seconds=10.0)
    starter.remove_data(profile)
    profile.create()
    secrets.create(profile)
    installer.install(frozenset(environment.SERVER_URLS))
    secrets.create_key_pairs(profile)
    return profile


def inherited() -> dict[str, str]:
    """The environment without what leads to somebody else's servers."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUCKARD_", "DJANGO_", "PYTEST_")) and name not in NOT_INHERITED
    }
