"""Which profile a command means where none is named."""

import pytest

from dev.cli import _parser


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
