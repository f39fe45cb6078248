"""Redis: cache, throttles, wake-ups. Never the only copy of anything, so that its loss costs speed alone."""

from typing import Any

from service_common.environment import Environment


def caches(env: Environment) -> dict[str, Any]:
    return {
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": env.redis_url,
                "KEY_PREFIX": "muckard",
                "TIMEOUT": 300,
                "OPTIONS": {
                    "SOCKET_CONNECT_TIMEOUT": 0.2,
                    "SOCKET_TIMEOUT": 0.2,
                    # With Redis down a lookup is a miss and a store is a no-op: no request fails for it.
                    "IGNORE_EXCEPTIONS": True,
                },
            }
        },
        # Readiness reports that Redis is down; a traceback for every request would flood the log.
        "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS": False,
    }
