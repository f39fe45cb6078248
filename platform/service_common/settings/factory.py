"""One function that puts the concerns together for a service."""

import secrets
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from service_common.environment import InvalidEnvironment, environment
from service_common.settings import api, cache, database, logs
from service_common.settings.public_address import public_address

ROOT = Path(__file__).resolve().parents[3]

# Django's own apps that simplejwt's token classes need. Only the user service and the staff site have their tables.
DJANGO_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
LIBRARY_APPS = [
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
]

MIDDLEWARE = [
    "apps.core.request_metrics.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.core.middleware.RequestContextMiddleware",
    "apps.core.middleware.RequestLogMiddleware",
    "django.middleware.common.CommonMiddleware",
]


@dataclass(frozen=True)
class LiveCaps:
    """The installation's caps on live trading (apps/risk/caps.py)."""

    largest_order: Decimal
    largest_position: Decimal
    largest_budget: Decimal
    first_days_fraction: Decimal


def service_settings(
    *, service: str, project: str, apps: list[str], middleware: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    """The Django settings of one service. Ends the process with one sentence where the environment is not usable."""
    env = environment(service)
    try:
        secret_key = _secret_key(service)
        return {
            "ENVIRONMENT": env,
            "SERVICE": service,
            "PROCESS": logs.process_name(env, sys.argv),
            "BASE_DIR": ROOT,
            "SECRET_KEY": secret_key,
            "DEBUG": False,
            "INSTALLED_APPS": [*DJANGO_APPS, *LIBRARY_APPS, "apps.core", "apps.events", *apps, "apps.ops"],
            "MIDDLEWARE": [*MIDDLEWARE, *(middleware or [])],
            "ROOT_URLCONF": f"{project}.urls",
            "WSGI_APPLICATION": f"{project}.wsgi.application",
            "USE_TZ": True,
            "TIME_ZONE": "UTC",
            "LANGUAGE_CODE": "en-us",
            "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
            "APPEND_SLASH": False,
            "DATA_UPLOAD_MAX_MEMORY_SIZE": 256 * 1024,
            "SECURE_CONTENT_TYPE_NOSNIFF": True,
            # As the gateway says it. With no-referrer browsers send `Origin: null`, which CSRF checks refuse.
            "SECURE_REFERRER_POLICY": "same-origin",
            "CSRF_FAILURE_VIEW": "apps.core.api.errors.csrf_failed",
            "STATIC_URL": "/static/",
            "WHITENOISE_USE_FINDERS": True,
            "DATABASES": database.databases(env, service),
            "TEMPLATES": [
                {
                    "BACKEND": "django.template.backends.django.DjangoTemplates",
                    "APP_DIRS": True,
                    "OPTIONS": {
                        "context_processors": [
                            "django.template.context_processors.request",
                            "django.contrib.auth.context_processors.auth",
                            "django.contrib.messages.context_processors.messages",
                        ]
                    },
                }
            ],
            "BOTS_PER_USER": env.bots_per_user,
            "LIVE_TRADING": env.live_trading,
            "LIVE_CAPS": LiveCaps(
                env.live_cap_order, env.live_cap_position, env.live_cap_budget, env.live_cap_first_days
            ),
            "MARKET_DATA": env.market_data,
            "MARKET_CANDLE_SECONDS": env.market_candle_seconds,
            "MARKET_START_CANDLE": env.market_start_candle,
            "MARKET_SEED": env.market_seed,
            **cache.caches(env),
            **(api.rest_framework(env, service) if service in api.TITLES else {}),
            **logs.logging(env),
            **public_address(env, has_cookies=not {"django.contrib.sessions", "apps.console"}.isdisjoint(apps)),
            **more,
        }
    except InvalidEnvironment as error:
        sys.exit(str(error))


def _secret_key(service: str) -> str:
    env = environment(service)
    if env.environment != "production" and env.secret_key is None:
        return "not-a-secret: development only, long enough for every algorithm"
    if env.secret_key is None and env.is_background:
        return secrets.token_urlsafe(48)
    return env.secret("secret_key", needed_for="signing sessions and cursors")
