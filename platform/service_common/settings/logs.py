"""Structured logs on standard error: JSON lines, or readable ones in development. Secrets are masked on the way."""

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


def logging(env: Environment) -> dict[str, Any]:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
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
                    "foreign_pre_chain": SHARED_PROCESSORS,
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": env.log_level},
            "loggers": {
                # They log request parameters or tokens at their lower levels.
                "kraken": {"level": "WARNING"},
                "urllib3": {"level": "WARNING"},
                "kafka": {"level": "WARNING"},
                "amqp": {"level": "WARNING"},
            },
        },
        "DJANGO_STRUCTLOG_CELERY_ENABLED": False,
    }
