"""nginx's configuration for a profile, from nginx/nginx.conf.template; the image renders it too, by envsubst."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dev.base.errors import StackError
from dev.base.profile import ROOT, Profile, write_atomically
from dev.base.secrets import SERVICES
from dev.install import installer

TEMPLATE = ROOT / "nginx" / "nginx.conf.template"
_PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")
_ORIGIN = re.compile(r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?$")


def folder(profile: Profile) -> Path:
    return profile.folder / "gateway"


def configuration_file(profile: Profile) -> Path:
    return folder(profile) / "nginx.conf"


def write(profile: Profile, environ: Mapping[str, str]) -> Path:
    """Writes the configuration of this profile and checks it with `nginx -t`. Raises StackError."""
    folder(profile).mkdir(parents=True, exist_ok=True)
    profile.logs.mkdir(parents=True, exist_ok=True)
    write_atomically(
        configuration_file(profile), render(TEMPLATE.read_text(encoding="utf-8"), values(profile, environ))
    )
    tried = subprocess.run(command(profile, "-t"), capture_output=True, text=True, check=False)
    if tried.returncode:
        log = folder(profile) / "nginx-t.log"
        log.write_text(tried.stderr)
        raise StackError("nginx refuses the gateway's configuration.", log=log, advice=f"correct {TEMPLATE}")
    return configuration_file(profile)


def command(profile: Profile, *arguments: str) -> list[str]:
    """nginx on this profile's configuration; its own log until that is read goes to standard error."""
    program = installer.nginx()
    if program is None:
        raise StackError("nginx is not installed.", advice="run `python3 dev/stack.py install`")
    return [program, "-e", "stderr", "-p", str(folder(profile)), "-c", str(configuration_file(profile)), *arguments]


def values(profile: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of the template's placeholders on this machine."""
    upstreams = {f"{name.upper()}_UPSTREAM": f"127.0.0.1:{profile.ports[name]}" for name in SERVICES}
    return upstreams | {
        "GATEWAY_LISTEN": f"127.0.0.1:{profile.ports['gateway']}",
        "GATEWAY_RUN": str(folder(profile)),
        "GATEWAY_ERROR_LOG": str(profile.log("gateway")),
        "GATEWAY_ACCESS_LOG": str(profile.log("gateway-requests")),
        "GATEWAY_CORS_PATTERN": cors_pattern(environ.get("MUCKARD_CORS_ORIGINS", "")),
        "GATEWAY_RATE": whole_number(environ, "MUCKARD_GATEWAY_RATE", "100"),
        "GATEWAY_BURST": whole_number(environ, "MUCKARD_GATEWAY_BURST", "200"),
        "GATEWAY_AUTH_RATE": whole_number(environ, "MUCKARD_GATEWAY_AUTH_RATE", "5"),
        "GATEWAY_AUTH_BURST": whole_number(environ, "MUCKARD_GATEWAY_AUTH_BURST", "40"),
    }


# Read for the gateway only; not passed to the applications.
VARIABLES = frozenset(
    {
        "MUCKARD_CORS_ORIGINS",
        "MUCKARD_GATEWAY_RATE",
        "MUCKARD_GATEWAY_BURST",
        "MUCKARD_GATEWAY_AUTH_RATE",
        "MUCKARD_GATEWAY_AUTH_BURST",
    }
)


def render(template: str, given: Mapping[str, str]) -> str:
    """The template with all placeholders filled in. Raises StackError for a placeholder without a value."""
    missing = sorted(set(_PLACEHOLDER.findall(template)) - given.keys())
    if missing:
        raise StackError(f"{TEMPLATE.name} asks for {', '.join(missing)}, which nothing gives.")
    return _PLACEHOLDER.sub(lambda found: given[found.group(1)], template)


def cors_pattern(origins: str) -> str:
    """A regular expression that matches these comma-separated origins and nothing else; no origin at all by default."""
    listed = [origin.strip() for origin in origins.split(",") if origin.strip()]
    for origin in listed:
        if not _ORIGIN.match(origin):
            raise StackError(
                f"MUCKARD_CORS_ORIGINS holds {origin!r}, which is no origin.",
                advice="write it like https://app.example.org, without a path",
            )
    return f"^({'|'.join(re.escape(origin) for origin in listed)})$" if listed else "^$"


def whole_number(environ: Mapping[str, str], name: str, default: str) -> str:
    """The variable's value, or the default where it is unset. Raises StackError unless it is a whole number above 0."""
    text = environ.get(name) or default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise StackError(f"{name}={text!r} is not a whole number above 0.")
    return text
