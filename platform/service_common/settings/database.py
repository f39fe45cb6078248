"""PostgreSQL: each process logs in with the role of its service."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from apps.core.process_table import PROCESSES
from apps.ops.database_roles import OWNER_SEARCH_PATH, ROLE_OF_SERVICE, ROLES
from service_common.environment import Environment, InvalidEnvironment

OWNER = "owner"


def databases(env: Environment, service: str) -> dict[str, Any]:
    """Django's DATABASES: none for a service that has no role, such as the console."""
    return {"default": database(env, service)} if service in ROLE_OF_SERVICE else {}


def database(env: Environment, service: str) -> dict[str, Any]:
    """The `default` database. MUCKARD_DB_ROLE=owner (the migrations run) logs in as DATABASE_URL says."""
    url = urlsplit(env.database_url)
    search_path: tuple[str, ...]
    role_name = env.db_role or (OWNER if env.environment == "test" else ROLE_OF_SERVICE[service])
    if role_name == OWNER:
        user, password, search_path = unquote(url.username or ""), unquote(url.password or ""), OWNER_SEARCH_PATH
    elif role_name in ROLES:
        user, search_path = role_name, ROLES[role_name].search_path
        password = _password(env, role_name)
    else:
        raise InvalidEnvironment(f"MUCKARD_DB_ROLE={role_name!r} is not a role. Known: owner, {', '.join(ROLES)}.")
    return {
        "ENGINE": "service_common.postgresql",
        "NAME": unquote(url.path.lstrip("/")),
        "HOST": url.hostname,
        "PORT": url.port or 5432,
        "USER": user,
        "PASSWORD": password,
        # A connection lives as long as its thread; a dead one is noticed at the next request and replaced.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {
            "connect_timeout": 3,
            "application_name": f"muckard-{service}",
            "options": " ".join(
                f"-c {setting}"
                for setting in (
                    f"search_path={','.join(search_path)}",
                    "lock_timeout=10s",
                    # A frozen process must not keep others waiting: no transaction of ours thinks for long.
                    "idle_in_transaction_session_timeout=15s",
                )
            ),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
        "TEST": {"NAME": f"test_muckard{_test_suffix(env)}"},
    }


def _password(env: Environment, role_name: str) -> str:
    is_without_database = env.process in PROCESSES and "postgres" not in PROCESSES[env.process].needs
    if is_without_database and getattr(env, f"db_password_{role_name}") is None:
        return ""
    if env.environment == "production" or getattr(env, f"db_password_{role_name}") is not None:
        return env.secret(f"db_password_{role_name}", needed_for=f"logging in to PostgreSQL as {role_name}")
    return ""


def _test_suffix(env: Environment) -> str:
    worker = env.test_worker or os.environ.get("PYTEST_XDIST_WORKER", "")
    return f"_{worker}" if worker else ""
