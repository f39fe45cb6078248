"""The command's names, and what it says where the platform is not there."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pydantic import SecretStr
from pytest_django import Settings

UNUSED_ADDRESS = "http://127.0.0.1:9"
NO_ANSWER = r"^The smoke test failed\. GET /health: the gateway does not answer \(ConnectionError\)\.$"


@pytest.fixture(autouse=True)
def _demo_password(settings: Settings) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"demo_password": SecretStr("a password to log in")})


def test_a_platform_that_is_not_there_is_one_sentence() -> None:
    said = StringIO()

    with pytest.raises(CommandError, match=NO_ANSWER):
        call_command("smoke_test", gateway=UNUSED_ADDRESS, stderr=said)

    assert not said.getvalue()


def test_the_old_name_does_the_same_and_says_the_new_one() -> None:
    said = StringIO()

    with pytest.raises(CommandError, match=NO_ANSWER):
        call_command("walk", gateway=UNUSED_ADDRESS, stderr=said)

    assert said.getvalue() == ("manage.py walk is now called smoke_test. The old name will go with the next release.\n")
