import os
import socket
from collections.abc import Callable, Iterator

import pytest

from dev.base import ports
from dev.base.errors import StackError
from dev.base.profile import Profile


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_busy_port_is_said_with_its_holder_and_what_to_do(
    make_profile: Callable[..., Profile], busy_port: int
) -> None:
    profile = make_profile("run", {"MUCKARD_KAFKA_PORT": str(busy_port)})

    with pytest.raises(StackError) as refusal:
        ports.refuse_busy(profile, ["kafka"])

    assert f"Port {busy_port}, which Kafka needs, is taken by " in refusal.value.cause
    assert f"(pid {os.getpid()})" in refusal.value.cause
    assert "MUCKARD_KAFKA_PORT=" in refusal.value.advice


def test_a_port_that_is_held_on_every_address_is_busy() -> None:
    with socket.create_server(("", 0)) as server:
        assert ports.is_busy(server.getsockname()[1])


def test_a_port_is_free_again_at_once(busy_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        # The side that closes first keeps the connection in TIME_WAIT.
        accepted.close()
        client.close()

    assert not ports.is_busy(port)
    assert ports.holder(port) is None
