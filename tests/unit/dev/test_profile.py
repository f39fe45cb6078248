from collections.abc import Callable

import pytest

from dev.base.errors import StackError
from dev.base.profile import PORTS, Profile

Make = Callable[..., Profile]


def test_the_profiles_run_and_test_share_no_port(make_profile: Make) -> None:
    run, test = make_profile("run"), make_profile("test")

    assert run.ports["gateway"] == 8080
    assert test.ports["gateway"] == 9080
    assert not set(run.ports.values()) & set(test.ports.values())
    assert len(set(run.ports.values())) == len(PORTS)


def test_a_variable_overrides_a_port(make_profile: Make) -> None:
    profile = make_profile("test", {"MUCKARD_POSTGRES_PORT": "26000"})

    assert profile.ports["postgres"] == 26000
    assert profile.ports["redis"] == 17379


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1", "8 0", "١٢"])
def test_what_is_no_port_is_refused_by_name(make_profile: Make, text: str) -> None:
    with pytest.raises(StackError, match="MUCKARD_REDIS_PORT"):
        make_profile("run", {"MUCKARD_REDIS_PORT": text})


def test_one_port_for_two_servers_is_refused(make_profile: Make) -> None:
    with pytest.raises(StackError, match=r"Port 16379 is asked for twice, by MUCKARD_POSTGRES_PORT and MUCKARD_REDIS"):
        make_profile("run", {"MUCKARD_POSTGRES_PORT": "16379"})


def test_a_profile_of_ones_own_remembers_where_its_ports_begin(make_profile: Make) -> None:
    made = make_profile("mine", offset=2000)
    made.create()

    assert make_profile("mine").ports == made.ports
    assert made.ports["redis"] == 18379


def test_a_new_profile_without_an_offset_is_refused(make_profile: Make) -> None:
    with pytest.raises(StackError, match="--port-offset"):
        make_profile("mine")


def test_another_offset_for_a_known_profile_is_refused(make_profile: Make) -> None:
    make_profile("mine", offset=2000).create()

    with pytest.raises(StackError, match="--port-offset 2000"):
        make_profile("mine", offset=3000)


@pytest.mark.parametrize("name", ["", "tools", "../run", "Run", "a/b"])
def test_a_name_that_is_no_folder_of_its_own_is_refused(make_profile: Make, name: str) -> None:
    with pytest.raises(StackError, match="cannot be the name"):
        make_profile(name, offset=2000)
