"""When the whole suite runs in two lanes, and on which servers."""

from collections.abc import Callable

import pytest

from dev.base.profile import PORTS, Profile, beside, variable
from dev.config import environment
from dev.run import lanes as sessions
from dev.run import starter, suite
from dev.servers import kafka


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch, make_profile: Callable[..., Profile]) -> Callable[..., list[str]]:
    """The profiles that a call runs the tests on, on a machine with room and nothing given. Nothing is started."""
    for name in (*environment.SERVER_URLS.values(), *map(variable, PORTS)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kafka, "available_mib", lambda: 16_000)
    monkeypatch.setattr(starter, "stop", lambda *_: None)
    used: list[str] = []

    def note(profile: Profile) -> dict[str, str]:
        used.append(profile.name)
        return {}

    monkeypatch.setattr(suite, "_given", note)
    monkeypatch.setattr(suite, "_servers", lambda *_: None)
    monkeypatch.setattr(starter, "run_to_its_end", lambda *_: 0)
    monkeypatch.setattr(sessions, "run", lambda *_, **__: 0)

    def run(*arguments: str, wanted: int = 2) -> list[str]:
        assert suite.tests(make_profile("test"), arguments, keep=True, lanes_wanted=wanted) == 0
        return used

    return run


def test_two_lanes_have_servers_of_their_own(lanes: Callable[..., list[str]]) -> None:
    assert lanes() == ["test", "test-2"]


def test_one_lane_is_what_nobody_asks_otherwise_for(lanes: Callable[..., list[str]]) -> None:
    assert lanes(wanted=1) == ["test"]


def test_single_tests_run_in_one_lane(lanes: Callable[..., list[str]]) -> None:
    assert lanes("-k", "refresh") == ["test"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("REDIS_URL", "a server is given by its URL"), ("MUCKARD_KAFKA_PORT", "a port is given by a variable")],
)
def test_where_the_servers_are_given_there_is_one_lane_and_a_sentence(
    lanes: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    why: str,
) -> None:
    monkeypatch.setenv(name, "29092")

    assert lanes() == ["test"]
    assert f"The tests run in one lane: {why}." in capsys.readouterr().out


def test_with_too_little_memory_there_is_one_lane_and_a_sentence(
    lanes: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kafka, "available_mib", lambda: 4_000)

    assert lanes() == ["test"]
    assert "4000 MiB of memory are available and two need 7000" in capsys.readouterr().out


def test_no_port_of_the_profiles_for_tests_is_taken_twice(make_profile: Callable[..., Profile]) -> None:
    first, run = make_profile("test"), make_profile("run")
    second = beside(first, {})

    ports = [port for profile in (run, first, second) for port in profile.ports.values()]
    assert len(ports) == len(set(ports))
    assert second.folder != first.folder
