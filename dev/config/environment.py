"""The environment variables of the starter, and those that processes of a profile get."""

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dev.base import secrets
from dev.base.errors import StackError
from dev.base.profile import APPLICATION_PORTS, METRICS_PORTS, PORTS, ROOT, SERVER_PORTS, Profile, variable
from dev.config import gateway

PREFIX = "MUCKARD_"
# server: the variable whose URL names a server to use instead of starting one
SERVER_URLS = {
    "postgres": "DATABASE_URL",
    "rabbitmq": "RABBITMQ_URL",
    "redis": "REDIS_URL",
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
}
# Read by the starter and the gateway: applications do not inherit them.
STARTER_VARIABLES = gateway.VARIABLES | {variable(name) for name in SERVER_PORTS | METRICS_PORTS}
# A process's project follows from its service. One that the caller's shell names would take its place in Celery, and a
# worker would look for its secrets where another service has them.
_NOT_INHERITED = STARTER_VARIABLES | {"DJANGO_SETTINGS_MODULE"}
# What the paper exchange replays where MARKET_DATA names nothing and this file is there; else it makes up a market.
RECORDED_MARKET = ROOT.parent / "shared" / "data" / "kraken" / "XBTUSD_60_2018-2021.csv"
_TYPED = ROOT / "platform" / "service_common" / "environment.py"


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is, and whether it is one that this starter starts."""

    url: str
    is_local: bool


def refuse_unknown(environ: Mapping[str, str]) -> None:
    """Raises StackError for a variable with our prefix that nothing reads, such as a typo."""
    known = known_variables()
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            advice = f"did you mean {close[0]}?" if close else f"remove it; known are {', '.join(sorted(known))}"
            raise StackError(f"The environment variable {name} is unknown.", advice=advice)


def known_variables() -> frozenset[str]:
    """What the applications read (the typed environment is the one list of it), and what the starter reads."""
    return frozenset(_application_variables() | STARTER_VARIABLES | {variable(name) for name in PORTS})


def addresses(profile: Profile, environ: Mapping[str, str]) -> dict[str, ServerAddress]:
    """Each server's address: the one given by URL, else ours. Secrets of the profile must have been made."""
    return {server: _address(profile, server, environ.get(name, "")) for server, name in SERVER_URLS.items()}


def contract(profile: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that tell a process which stack it belongs to: printed by `env`, given to every process."""
    found = addresses(profile, environ)
    variables = {SERVER_URLS[server]: address.url for server, address in found.items()}
    variables |= {
        "MUCKARD_ENVIRONMENT": environ.get("MUCKARD_ENVIRONMENT", "development"),
        "MUCKARD_SECRETS_DIR": str(profile.secrets),
        "MUCKARD_PUBLIC_URL": gateway.public_url(profile, environ),
        "MUCKARD_PAPER_EXCHANGE_URL": f"http://127.0.0.1:{profile.ports['paper']}",
    }
    variables |= {variable(name): str(profile.ports[name]) for name in APPLICATION_PORTS}
    market = market_data(environ) or (str(RECORDED_MARKET) if RECORDED_MARKET.is_file() else "")
    if market:
        variables["MARKET_DATA"] = market
    if found["rabbitmq"].is_local:
        variables["MUCKARD_RABBITMQ_MANAGEMENT_URL"] = management_url(profile)
    return variables


def market_data(environ: Mapping[str, str]) -> str:
    """The absolute path that MARKET_DATA names, "" where it names none.

    Links are not resolved: the name of a link says pair and interval, and its target's may not.
    """
    named = environ.get("MARKET_DATA")
    return str(Path(named).absolute()) if named else ""


def for_processes(profile: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a process: the caller's, less what it may not inherit, and the contract."""
    kept = {name: value for name, value in environ.items() if name not in _NOT_INHERITED}
    return kept | contract(profile, environ) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "PYTHONUNBUFFERED": "1"}


def management_url(profile: Profile) -> str:
    password = secrets.read(profile, "servers", "rabbitmq_password")
    return f"http://muckard:{password}@127.0.0.1:{profile.ports['rabbitmq_management']}"


def local_url(profile: Profile, server: str) -> str:
    """Where our own server of a profile is, with its log-in."""
    port = profile.ports[server]
    if server == "kafka":
        return f"127.0.0.1:{port}"
    password = secrets.read(profile, "servers", f"{server}_password")
    return {
        "postgres": f"postgresql://muckard:{password}@127.0.0.1:{port}/muckard",
        "rabbitmq": f"amqp://muckard:{password}@127.0.0.1:{port}/muckard",
        "redis": f"redis://:{password}@127.0.0.1:{port}/0",
    }[server]


def where(url: str) -> str:
    """A URL without its log-in, to show."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _address(profile: Profile, server: str, given: str) -> ServerAddress:
    ours = local_url(profile, server)
    # `env` prints our own URLs: a shell that took them over still means our own servers.
    return ServerAddress(given, is_local=False) if given and given != ours else ServerAddress(ours, is_local=True)


def _application_variables() -> set[str]:
    if not _TYPED.is_file():
        raise StackError(f"{_TYPED} is missing: this checkout is not whole.")
    for node in ast.walk(ast.parse(_TYPED.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name == "Environment":
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and not _has_alias(item.value)]
            return {PREFIX + item.target.id.upper() for item in fields if isinstance(item.target, ast.Name)}
    raise StackError(f"{_TYPED} declares no class Environment.")


def _has_alias(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and any(keyword.arg == "validation_alias" for keyword in value.keywords)
