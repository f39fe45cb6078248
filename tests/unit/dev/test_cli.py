"""Which profile a command means where none is named."""

from collections.abc import Callable

import pytest

from dev.base.profile import Profile
from dev.cli import _parser
from dev.run import starter


@pytest.mark.parametrize(
    ("command", "profile"),
    [
        ("run", "run"),
        ("servers", "run"),
        ("stop", "run"),
        ("clean", "run"),
        ("env", "run"),
        ("status", "run"),
        ("test", "test"),
    ],
)
def test_every_command_has_the_profile_that_its_help_promises(command: str, profile: str) -> None:
    options = _parser().parse_args([command])

    assert (options.profile or options.default_profile) == profile


@pytest.mark.parametrize("option", ["--no-smoke-test", "--no-walk"])
def test_the_smoke_test_can_be_left_out_by_its_new_and_its_old_name(
    option: str, monkeypatch: pytest.MonkeyPatch, make_profile: Callable[..., Profile]
) -> None:
    asked: list[bool] = []

    def platform(_: Profile, *, detach: bool, with_smoke_test: bool) -> int:
        asked.append(with_smoke_test)
        return 0

    monkeypatch.setattr(starter, "platform", platform)
    for arguments in (["run", option], ["run"]):
        options = _parser().parse_args(arguments)
        assert options.command(make_profile(), options) == 0

    assert asked == [False, True]
