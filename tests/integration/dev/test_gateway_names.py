"""The container's gateway: services by name, resolved while it runs by a name server of the test's own."""

import json
import os
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.base.profile import PORTS, ROOT, Profile
from dev.config import gateway
from tests.support.gateway import Gateway, Gateways, wait_for
from tests.support.ports import free_ports
from tests.support.waiting import eventually

COMPOSE = yaml.safe_load((ROOT / "docker" / "docker-compose.microservices.yml").read_text())["services"]["gateway"]
START = ROOT / "nginx" / "start.sh"
NAME, ELSEWHERE = "kraken.muckard.test", "127.0.0.2"


class NameServer:
    """Answers questions for A records from `known`; every other name does not exist (RFC 1035)."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                question, client = self._socket.recvfrom(512)
            except OSError:
                return
            self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        labels, place = [], 12
        while length := question[place]:
            labels.append(question[place + 1 : place + 1 + length].decode())
            place += 1 + length
        asked = question[12 : place + 5]
        address = self.known.get(".".join(labels))
        answers = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(address) if address else b""
        flags = 0x8180 if address else 0x8183
        return question[:2] + struct.pack(">HHHHH", flags, 1, 1 if address else 0, 0, 0) + asked + answers

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def container(gateways: Gateways, names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """What the compose file runs, with its variables; no service has an address when it starts."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    running = Gateway(Profile(name="container", ports=ports, home=gateways.home))
    folder: Path = tmp_path_factory.mktemp("container")
    given = {name: _default(text) for name, text in COMPOSE["environment"].items()}
    given |= {name: f"{name.partition('_')[0].lower()}.muckard.test:{running.profile.ports['kraken']}" for name in given
              if name.endswith("_UPSTREAM")}  # fmt: skip
    given |= {
        "PATH": os.environ["PATH"],
        "GATEWAY_FILES": str(ROOT / "nginx"),
        "GATEWAY_RUN": str(folder),
        "GATEWAY_PLAIN_LISTEN": f"127.0.0.1:{running.profile.ports['gateway']}",
        "GATEWAY_NAMESERVER": f"127.0.0.1:{names.port}",
        "GATEWAY_NAMES_VALID": "1s",
        "GATEWAY_ACCESS_LOG": str(folder / "requests.log"),
        "GATEWAY_ERROR_LOG": str(folder / "errors.log"),
    }
    command = ["sh", str(ROOT / "nginx" / "start.sh"), *COMPOSE["command"][2:]]
    gateways.run(command, folder, given)
    wait_for(running.profile.ports["gateway"])
    return running


def _default(text: str) -> str:
    """Of `${NAME:-default}`; `$$` is compose's way to write a dollar."""
    found = text.removeprefix("${").removesuffix("}").partition(":-")[2] if text.startswith("${") else text
    return found.replace("$$", "$")


def test_it_starts_without_any_of_the_services(container: Gateway) -> None:
    response, error = container.error("GET", "/api/v1/bot")

    assert response.status == 503
    assert response.getheader("Retry-After") == "2"
    assert error["code"] == "dependency_unavailable"
    assert container.ask("GET", "/health/gateway")[0].status == 200


def test_a_service_that_comes_and_moves_is_found_without_a_reload(
    container: Gateway, gateways: Gateways, names: NameServer
) -> None:
    port = container.profile.ports["kraken"]
    gateways.serve("first", port)
    second: Any = gateways.serve("second", port, ELSEWHERE)

    names.known[NAME] = "127.0.0.1"
    eventually(lambda: b'"first"' in container.ask("GET", "/api/v1/bot?limit=1")[1], what="the service is found")
    names.known[NAME] = ELSEWHERE
    eventually(lambda: b'"second"' in container.ask("GET", "/api/v1/bot?limit=2")[1], what="its new address is found")

    assert "GET /api/v1/bot?limit=2" in second.asked
    # Another service's name is as unknown as before.
    assert container.ask("GET", "/api/v1/user/me")[0].status == 503


def test_every_route_resolves_its_name(container: Gateway, names: NameServer) -> None:
    names.known |= {f"{service}.muckard.test": ELSEWHERE for service in ("user", "bot", "staff", "paper", "kraken")}
    paths = ("/api/v1/auth/login", "/api/v1/user/me", "/admin/", "/health", "/health/paper", "/health/bot/live")
    for path in (*paths, "/.well-known/jwks.json", "/api/schema/user/"):
        eventually(partial(_is_answered, container, path), what=f"the answer of {path}")


def _is_answered(container: Gateway, path: str) -> bool:
    return container.ask("GET", path)[0].status == 200


def test_connections_to_services_are_kept_where_nginx_can_resolve_their_upstreams(
    container: Gateway, gateways: Gateways, names: NameServer
) -> None:
    version = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.partition("/")[2]
    can_resolve = tuple(int(part) for part in version.split()[0].split(".")) >= (1, 27, 3)
    # The gateway of this module knows one port only, so the service is another address at it.
    service: Any = gateways.serve("kept", container.profile.ports["kraken"], "127.0.0.3")
    names.known[NAME] = "127.0.0.3"
    eventually(lambda: b'"kept"' in container.ask("GET", "/api/v1/bot")[1], what="the service is found")

    ports = {json.loads(container.ask("GET", "/api/v1/bot")[1])["client_port"] for _ in range(5)}

    # An older nginx resolves variables only, and connects for each request.
    assert (len(ports) < 5) is can_resolve
    assert len(service.asked) >= 6


def test_as_many_connections_are_kept_in_containers_as_locally() -> None:
    listed = re.findall(r"(\w+)=(\d+)", re.findall(r"for kept in (.*); do", START.read_text())[0])

    assert {service: int(number) for service, number in listed} == gateway.KEPT


@pytest.mark.parametrize("listed", ["0.0.0.0/0", "10.0.0.0/8; evil"])
def test_a_list_of_proxies_that_cannot_be_meant_keeps_it_from_starting(
    container: Gateway, tmp_path: Path, listed: str
) -> None:
    given = {"PATH": os.environ["PATH"], "GATEWAY_RUN": str(tmp_path), "MUCKARD_TRUSTED_PROXIES": listed}
    done = subprocess.run(
        ["sh", str(ROOT / "nginx" / "start.sh"), "-t"], env=given, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "MUCKARD_TRUSTED_PROXIES" in done.stderr
