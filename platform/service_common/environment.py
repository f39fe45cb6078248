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

PREFIX = "MUCKARD_"


def _url_of(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must look like {schemes[0]}://user:password@host:port/name")
        return value

    return AfterValidator(check)


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
    web_workers: int = Field(1, ge=1)

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
    gateway_port: int = Field(8080, ge=1, le=65535)
    user_port: int = Field(8000, ge=1, le=65535)
    kraken_port: int = Field(8001, ge=1, le=65535)
    bot_port: int = Field(8002, ge=1, le=65535)
    staff_port: int = Field(8003, ge=1, le=65535)
    paper_port: int = Field(8010, ge=1, le=65535)
    flower_port: int = Field(5555, ge=1, le=65535)

    # Secrets
    secret_key: SecretStr | None = None
    jwt_private_key: SecretStr | None = None
    jwt_public_key: SecretStr | None = None
    vault_key: SecretStr | None = None
    mfa_key: SecretStr | None = None
    smtp_url: SecretStr | None = None
    service_token_key: SecretStr | None = None
    audit_signing_key: SecretStr | None = None
    audit_public_key: SecretStr | None = None
    flower_password: SecretStr | None = None
    demo_password: SecretStr | None = None
    admin_password: SecretStr | None = None
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

    test_worker: str = ""

    @field_validator("kafka_bootstrap_servers", "allowed_hosts", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("retry_delays_seconds", mode="before")
    @classmethod
    def _comma_separated_seconds(cls, value: Any) -> Any:
        return tuple(int(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("market_data", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

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
    if os.environ.get(f"{PREFIX}ENVIRONMENT") == "test":  # the test process stands for every service
        return sorted(folder for folder in Path(root).iterdir() if folder.is_dir())
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
