"""The platform's environment: every variable, typed, in one place.

Variables of our own start with ``MUCKARD_``; an unknown one with that prefix is an error, because a setting that is
silently ignored costs money. A secret may also be a file of the variable's lower-case name, in
``MUCKARD_SECRETS_DIR/common`` or ``MUCKARD_SECRETS_DIR/<service>``, so that a process reads only what is its own.
"""

import difflib
import os
import sys
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from apps.core.process_table import PROCESSES
from service_common.web_size import per_process

PREFIX = "MUCKARD_"


def _url_of(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must look like {schemes[0]}://user:password@host:port/name")
        return value

    return AfterValidator(check)


def _numbers(setting: str) -> str:
    per_process(setting, "")
    return setting


class InvalidEnvironment(Exception):
    """A variable is unknown, malformed or missing. The text names it and says what to do."""


class Environment(BaseSettings):
    """What the outside tells a process. Read it once, through :func:`environment`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, populate_by_name=True)

    environment: Literal["development", "test", "production"] = "production"
    secrets_dir: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "json"

    # Which process of the process table this is, and where it serves metrics if it has no HTTP port of its own
    process: str = ""
    metrics_port: int | None = Field(None, ge=1, le=65535)
    metrics_address: str = "127.0.0.1"
    # Where background processes note that their loops go on, and after how long one that does not ends its process
    progress_dir: Path | None = None
    stalled_seconds: float = Field(300.0, gt=0)
    # A number, or one for each web process: user=4,kraken=2. Empty, the process table decides.
    web_workers: Annotated[str, AfterValidator(_numbers)] = ""
    web_connections: Annotated[str, AfterValidator(_numbers)] = "32"
    # Where traces go (an OTLP/HTTP receiver, such as http://jaeger:4318), and which part of them. Not set: off.
    traces: str | None = None
    traces_ratio: float = Field(0.1, gt=0, le=1)

    # Servers. The login in DATABASE_URL is the owner's; services log in with a role and password of their own.
    database_url: Annotated[str, _url_of("postgresql", "postgres")] = Field(
        "postgresql://muckard@127.0.0.1:15432/muckard", validation_alias="DATABASE_URL"
    )
    rabbitmq_url: Annotated[str, _url_of("amqp", "amqps")] = Field(
        "amqp://muckard@127.0.0.1:15672//", validation_alias="RABBITMQ_URL"
    )
    redis_url: Annotated[str, _url_of("redis", "rediss")] = Field(
        "redis://127.0.0.1:16379/0", validation_alias="REDIS_URL"
    )
    kafka_bootstrap_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1:19092",), validation_alias="KAFKA_BOOTSTRAP_SERVERS"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_ca_file: Path | None = None
    kafka_replication_factor: int = Field(1, ge=1, le=9)
    rabbitmq_management_url: str | None = None

    # Addresses
    public_url: str = "http://127.0.0.1:8080"
    mail_from: str = "Muckard <no-reply@localhost>"
    paper_exchange_url: str = "http://127.0.0.1:8010"
    # Where live keys trade. Not set, it is Kraken where live trading is on, and nothing where it is off.
    kraken_url: str | None = None
    # Whose market data the API shows
    market_source: Literal["paper", "live"] = "paper"
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "localhost")
    user_host: str = "127.0.0.1"
    kraken_host: str = "127.0.0.1"
    bot_host: str = "127.0.0.1"
    paper_host: str = "127.0.0.1"
    console_host: str = "127.0.0.1"
    stream_host: str = "127.0.0.1"
    gateway_port: int = Field(8080, ge=1, le=65535)
    gateway_tls_port: int = Field(8443, ge=1, le=65535)
    user_port: int = Field(8000, ge=1, le=65535)
    kraken_port: int = Field(8001, ge=1, le=65535)
    bot_port: int = Field(8002, ge=1, le=65535)
    staff_port: int = Field(8003, ge=1, le=65535)
    console_port: int = Field(8004, ge=1, le=65535)
    stream_port: int = Field(8005, ge=1, le=65535)
    paper_port: int = Field(8010, ge=1, le=65535)
    flower_port: int = Field(5555, ge=1, le=65535)

    # Secrets
    secret_key: SecretStr | None = None
    jwt_private_key: SecretStr | None = None
    jwt_public_key: SecretStr | None = None
    signing_vault_key: SecretStr | None = None
    vault_key: SecretStr | None = None
    mfa_key: SecretStr | None = None
    smtp_url: SecretStr | None = None
    service_private_key: SecretStr | None = None
    service_public_key_user: SecretStr | None = None
    service_public_key_kraken: SecretStr | None = None
    service_public_key_bot: SecretStr | None = None
    service_public_key_staff: SecretStr | None = None
    service_public_key_paper: SecretStr | None = None
    audit_signing_key: SecretStr | None = None
    audit_public_key: SecretStr | None = None
    flower_password: SecretStr | None = None
    demo_password: SecretStr | None = None
    admin_password: SecretStr | None = None
    # Of the first account of the staff site, which the set-up of containers opens
    admin_email: str = "admin@example.com"
    kafka_username: SecretStr | None = None
    kafka_password: SecretStr | None = None
    db_role: str | None = None
    db_password_user_service: SecretStr | None = None
    db_password_kraken_service: SecretStr | None = None
    db_password_bot_service: SecretStr | None = None
    db_password_relay: SecretStr | None = None
    db_password_dispatcher: SecretStr | None = None
    db_password_sealer: SecretStr | None = None
    db_password_verifier: SecretStr | None = None
    db_password_staff_site: SecretStr | None = None
    db_password_paper_exchange: SecretStr | None = None

    # The market that the paper exchange replays
    market_data: Path | None = Field(None, validation_alias="MARKET_DATA")
    market_candle_seconds: float = Field(1.0, gt=0)
    market_start_candle: int = Field(720, ge=0)
    market_seed: int = 20180101

    # The event backbone
    relay_batch_rows: int = Field(500, ge=1, le=5000)
    lease_seconds: float = Field(10.0, gt=0)
    retry_delays_seconds: Annotated[tuple[int, ...], NoDecode] = (5, 30, 120, 600)

    # Bots. Live trading spends real money: an operator turns it on, for the services kraken and bot alike.
    live_trading: bool = False
    # Caps of a live bot for users who set none, in quote assets worth about a dollar, and the part that holds in the
    # first seven days.
    live_cap_order: Decimal = Field(Decimal(1000), ge=0)
    live_cap_position: Decimal = Field(Decimal(5000), ge=0)
    live_cap_budget: Decimal = Field(Decimal(5000), ge=0)
    live_cap_first_days: Decimal = Field(Decimal("0.1"), ge=0, le=1)
    bot_tick_seconds: float = Field(5.0, gt=0)
    # The tier of the accounts on Kraken: their limits of calls follow from it.
    kraken_tier: Literal["starter", "intermediate", "pro"] = "starter"

    # Requests of one user a minute, by scope; 0 is no quota (docs/api.md).
    quota_read: int = Field(1200, ge=0)
    quota_trade: int = Field(240, ge=0)
    quota_account: int = Field(60, ge=0)
    quota_safety: int = Field(1200, ge=0)
    # Staff need a second factor; off for development and tests only.
    staff_mfa: bool = True
    bots_per_user: int = Field(100, ge=1)
    sessions_per_user: int = Field(50, ge=1)
    # Open streams: of one user, and of one stream process
    streams_per_user: int = Field(10, ge=1)
    streams: int = Field(2000, ge=1)

    test_worker: str = ""

    @field_validator("kafka_bootstrap_servers", "allowed_hosts", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("retry_delays_seconds", mode="before")
    @classmethod
    def _comma_separated_seconds(cls, value: Any) -> Any:
        return tuple(int(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("market_data", "smtp_url", "traces", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @property
    def is_background(self) -> bool:
        """Whether this is a process of the process table that serves no HTTP: it signs nothing for clients."""
        return self.process in PROCESSES and PROCESSES[self.process].kind != "web"

    @field_validator("traces")
    @classmethod
    def _receiver(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("must look like http://host:4318")
        return value

    def secret(self, name: str, *, needed_for: str) -> str:
        """The secret called `name`. Raises InvalidEnvironment where it is missing."""
        value: SecretStr | None = getattr(self, name)
        if value is None or not value.get_secret_value():
            raise InvalidEnvironment(
                f"The secret {PREFIX}{name.upper()} is missing; it is needed for {needed_for}. Set the variable, or "
                f"put it into a file named {PREFIX.lower()}{name} below {PREFIX}SECRETS_DIR."
            )
        return value.get_secret_value()


def refuse_unknown_variables(names: list[str]) -> None:
    """Raises InvalidEnvironment for a variable with our prefix that no setting reads."""
    known = {
        f"{PREFIX}{field.upper()}" for field, info in Environment.model_fields.items() if not info.validation_alias
    }
    for name in sorted(set(names)):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else " Remove it; docs/configuration.md lists the known ones."
            raise InvalidEnvironment(f"The environment variable {name} is unknown.{hint}")


def _secret_folders(service: str) -> list[Path]:
    """Where this process finds its secrets: what all share, its service's, and those of the database role it takes."""
    root = os.environ.get(f"{PREFIX}SECRETS_DIR")
    if not root:
        return []
    if os.environ.get(f"{PREFIX}ENVIRONMENT") == "test":
        # The test process stands for every service. Where several have a secret of one name, the last one counts: its
        # own; then the kraken service's, whose vault the bot service opens, too.
        folders = (folder for folder in Path(root).iterdir() if folder.is_dir())
        return sorted(folders, key=lambda folder: (folder.name == service, folder.name == "kraken", folder.name))
    names = ("common", service, os.environ.get(f"{PREFIX}DB_ROLE", ""))
    return [Path(root) / name for name in names if name and (Path(root) / name).is_dir()]


def read_environment(service: str) -> Environment:
    """The environment of one service. Raises InvalidEnvironment with a sentence a person can act on."""
    refuse_unknown_variables(list(os.environ))
    folders = _secret_folders(service)
    try:
        return Environment(_secrets_dir=folders or None)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        variable = field if field.isupper() else f"{PREFIX}{field.upper()}"
        raise InvalidEnvironment(f"The environment variable {variable} is not valid: {first['msg']}.") from None


@cache
def environment(service: str) -> Environment:
    """As `read_environment`, once a process; ends the process with the sentence where something is wrong."""
    try:
        return read_environment(service)
    except InvalidEnvironment as error:
        sys.exit(str(error))
