"""Structured logs on standard error: JSON lines, or readable ones in development. Secrets are masked on the way."""

import logging as stdlib_logging
import sys
from pathlib import Path
from typing import Any

import structlog

from apps.core.redaction import mask_secrets
from service_common.environment import Environment

SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.stdlib.ExtraAdder(),
    mask_secrets,
]


class ProcessName:
    """Adds the field `process`: the process's name in the process table, or the management command that runs."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("process", self._name)
        return event


def process_name(env: Environment, arguments: list[str]) -> str:
    """MUCKARD_PROCESS, else the command line: `relay` of `manage.py run_relay`, `migrate` of `manage.py migrate`."""
    if env.process or len(arguments) < 2 or Path(arguments[0]).name != "manage.py":
        return env.process or Path(arguments[0]).name
    command = arguments[1]
    return command.removeprefix("run_").replace("_", "-") if command.startswith("run_") else command


def logging(env: Environment) -> dict[str, Any]:
    shared = [ProcessName(process_name(env, sys.argv)), *SHARED_PROCESSORS]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer() if env.log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    return {
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,
                        renderer,
                    ],
                    "foreign_pre_chain": shared,
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": env.log_level},
            "loggers": {
                # They log request parameters or tokens at their lower levels.
                "kraken": {"level": "WARNING"},
                "urllib3": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                "kafka": {"level": "WARNING"},
                "amqp": {"level": "WARNING"},
            },
        },
        "DJANGO_STRUCTLOG_CELERY_ENABLED": False,
        # One line a request: what it was is in the line that says how it ended. The client's address is the gateway's
        # to log, which knows it.
        "DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL": stdlib_logging.DEBUG,
        "DJANGO_STRUCTLOG_IP_LOGGING_ENABLED": False,
    }
