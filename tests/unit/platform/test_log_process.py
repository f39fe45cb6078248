"""The field `process` of log lines."""

import pytest

from service_common.environment import Environment
from service_common.settings.logs import process_name


@pytest.mark.parametrize(
    ("process", "arguments", "name"),
    [
        ("worker-high", ["celery", "worker"], "worker-high"),
        ("relay", ["manage.py", "run_dispatcher"], "relay"),
        ("", ["/x/manage.py", "run_retry_router", "--metrics-port=1"], "retry-router"),
        ("", ["manage.py", "setup_database"], "setup_database"),
        ("", ["/venv/bin/pytest", "tests"], "pytest"),
    ],
)
def test_a_log_line_names_its_process(process: str, arguments: list[str], name: str) -> None:
    assert process_name(Environment(process=process), arguments) == name
