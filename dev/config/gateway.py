"""nginx's configuration for a profile, from nginx/nginx.conf.template; the image renders it too, by envsubst."""

import base64
import ipaddress
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dev.base.errors import StackError
from dev.base.profile import ROOT, Profile, write_atomically
from dev.base.secrets import WEB
from dev.config import tls
from dev.install import installer

FILES = ROOT / "nginx"
TEMPLATE = FILES / "nginx.conf.template"
REDIRECT_TEMPLATE = FILES / "redirect.conf.template"
# Connections that the gateway keeps to each service
KEPT = {"user": 16, "kraken": 32, "bot": 4, "staff": 8, "paper": 4, "console": 16, "stream": 4, "flower": 2}
_PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")
_ORIGIN = re.compile(r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?$")


def folder(profile: Profile) -> Path:
    return profile.folder / "gateway"


def configuration_file(profile: Profile) -> Path:
    return folder(profile) / "nginx.conf"


def redirect_file(profile: Profile) -> Path:
    """The server that sends plain HTTP on to TLS; part of the configuration where there is TLS."""
    return folder(profile) / "redirect.conf"


def write(profile: Profile, environ: Mapping[str, str]) -> Path:
    """Writes the configuration of this profile and checks it with `nginx -t`. Raises StackError."""
    folder(profile).mkdir(parents=True, exist_ok=True)
    found = tls.of(profile, environ)
    given = values(profile, environ, found)
    write_atomically(redirect_file(profile), render(REDIRECT_TEMPLATE.read_text(encoding="utf-8"), given))
    # Flower's password is in it.
    write_atomically(configuration_file(profile), render(TEMPLATE.read_text(encoding="utf-8"), given), mode=0o600)
    # It creates the logs, which only their owner may read.
    tried = subprocess.run(command(profile, "-t"), capture_output=True, text=True, check=False, umask=0o077)
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


def values(profile: Profile, environ: Mapping[str, str], secured: tls.Certificate | None = None) -> dict[str, str]:
    """The values of the templates' placeholders on this machine. Raises StackError for a setting that is not usable."""
    plain, by_tls = (f"127.0.0.1:{profile.ports[name]}" for name in ("gateway", "gateway_tls"))
    proxies = networks(environ.get("MUCKARD_TRUSTED_PROXIES", ""))
    return {f"{name.upper()}_UPSTREAM": f"service_{name}" for name in (*WEB, "stream")} | {
        # Fixed addresses: upstreams with kept connections, and no name to resolve.
        "GATEWAY_UPSTREAMS": "\n    ".join(_upstream(name, profile.ports[name]) for name in KEPT),
        "GATEWAY_RESOLVER": "",
        "FLOWER_UPSTREAM": "service_flower",
        "GATEWAY_FLOWER_AUTHORIZATION": _flower_authorization(profile),
        "GATEWAY_FILES": str(FILES),
        "GATEWAY_LISTEN": f"{by_tls} ssl" if secured else plain,
        "GATEWAY_PLAIN_LISTEN": plain,
        "GATEWAY_PUBLIC_ORIGIN": public_url(profile, environ).rstrip("/"),
        "GATEWAY_TLS": _tls(secured) if secured else "",
        "GATEWAY_REDIRECT": f"include {redirect_file(profile)};" if secured else "",
        "GATEWAY_HSTS_SECONDS": whole_number(environ, "MUCKARD_HSTS_SECONDS", "31536000"),
        "GATEWAY_TRUSTED_PROXIES": "\n    ".join(f"set_real_ip_from {network};" for network in proxies),
        "GATEWAY_TRUSTED_PEERS": "\n        ".join(f"{network} 1;" for network in proxies),
        "GATEWAY_WORKERS": whole_number(environ, "MUCKARD_GATEWAY_WORKERS", str(os.cpu_count() or 1)),
        "GATEWAY_RUN": str(folder(profile)),
        "GATEWAY_ERROR_LOG": str(profile.log("gateway")),
        "GATEWAY_ACCESS_LOG": str(profile.log("gateway-requests")),
        "GATEWAY_CORS_PATTERN": cors_pattern(environ.get("MUCKARD_CORS_ORIGINS", "")),
        "GATEWAY_RATE": whole_number(environ, "MUCKARD_GATEWAY_RATE", "100"),
        "GATEWAY_BURST": whole_number(environ, "MUCKARD_GATEWAY_BURST", "200"),
        "GATEWAY_AUTH_RATE": whole_number(environ, "MUCKARD_GATEWAY_AUTH_RATE", "5"),
        "GATEWAY_STREAMS": whole_number(environ, "MUCKARD_GATEWAY_STREAMS", "50"),
        "GATEWAY_AUTH_BURST": whole_number(environ, "MUCKARD_GATEWAY_AUTH_BURST", "40"),
    }


def public_url(profile: Profile, environ: Mapping[str, str]) -> str:
    """Where clients find the gateway: as given, which a proxy in front of it needs, or its own port."""
    plain, by_tls = f"http://127.0.0.1:{profile.ports['gateway']}", f"https://127.0.0.1:{profile.ports['gateway_tls']}"
    given = environ.get("MUCKARD_PUBLIC_URL")
    # `env` prints our own: a shell that took one over may still turn TLS on or off.
    if given and given not in (plain, by_tls):
        return given
    return by_tls if tls.is_on(environ) else plain


def _upstream(name: str, port: int) -> str:
    # gunicorn keeps idle connections for 75 s (gunicorn_config.py): nginx lets go first and reuses none as it closes.
    kept = f"keepalive {KEPT[name]}; keepalive_timeout 30s;"
    return f"upstream service_{name} {{ server 127.0.0.1:{port} max_fails=0; {kept} }}"


def _flower_authorization(profile: Profile) -> str:
    password = profile.secrets / "bot" / "muckard_flower_password"
    if not password.is_file():
        return ""
    return "Basic " + base64.b64encode(f"operator:{password.read_text().strip()}".encode()).decode()


def _tls(secured: tls.Certificate) -> str:
    return f"ssl_certificate {secured.certificate}; ssl_certificate_key {secured.key}; include {FILES / 'tls.conf'};"


def networks(listed: str) -> list[str]:
    """These comma-separated addresses and networks. Raises StackError for what is none, and for all addresses."""
    found = []
    for text in filter(None, (part.strip() for part in listed.split(","))):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise StackError(
                f"MUCKARD_TRUSTED_PROXIES holds {text!r}, which is no network.", advice="write it like 10.0.0.0/8"
            ) from None
        if network.prefixlen == 0:
            raise StackError(
                f"MUCKARD_TRUSTED_PROXIES holds {text}, which is everybody.",
                advice="any client could then say who it is; name the proxies",
            )
        found.append(str(network))
    return found


# Read for the gateway only; not passed to the applications.
VARIABLES = frozenset(
    {
        "MUCKARD_CORS_ORIGINS",
        "MUCKARD_GATEWAY_RATE",
        "MUCKARD_GATEWAY_BURST",
        "MUCKARD_GATEWAY_AUTH_RATE",
        "MUCKARD_GATEWAY_AUTH_BURST",
        "MUCKARD_GATEWAY_STREAMS",
        "MUCKARD_GATEWAY_WORKERS",
        "MUCKARD_HSTS_SECONDS",
        "MUCKARD_TRUSTED_PROXIES",
        *tls.VARIABLES,
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
