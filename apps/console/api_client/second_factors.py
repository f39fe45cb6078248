"""Second factors: an authenticator app, recovery codes, passkeys (docs/accounts.md)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.console.api_client.accounts import Tokens
from apps.console.api_client.base import Answer, Api, Page


class Secret(Answer):
    secret: str
    otpauth_uri: str
    qr_svg: str


class Passkey(Answer):
    id: UUID
    name: str
    is_synced: bool
    created_at: datetime
    last_used_at: datetime | None


class PasskeyPage(Page):
    results: list[Passkey]


def set_up(api: Api, *, password: str) -> Secret:
    """A secret for an authenticator app. Nothing changes at the log-in until `confirm`."""
    return Secret.model_validate(api.post("auth/mfa/setup", {"password": password}))


def confirm(api: Api, *, otp: str) -> list[str]:
    """Switches it on: the recovery codes, which are shown this once."""
    codes = [str(code) for code in api.post("auth/mfa/confirm", {"otp": otp})["recovery_codes"]]
    api.renew()
    return codes


def disable(api: Api, *, password: str, otp: str, key: str) -> None:
    api.post("auth/mfa/disable", {"password": password, "otp": otp}, key=key)
    api.renew()


def passkeys(api: Api) -> list[Passkey]:
    return PasskeyPage.model_validate(api.get("auth/passkeys", {"limit": 100})).results


def rename_passkey(api: Api, passkey_id: UUID, *, name: str, key: str) -> None:
    api.patch(f"auth/passkeys/{passkey_id}", {"name": name}, key=key)


def remove_passkey(api: Api, passkey_id: UUID, *, key: str) -> None:
    api.delete(f"auth/passkeys/{passkey_id}", key=key)


def creation_options(api: Api) -> Any:
    return api.post("auth/passkeys/register/options")["public_key"]


def add_passkey(api: Api, *, name: str, credential: Any) -> list[str]:
    """Recovery codes, where it is the account's first second factor."""
    answer = api.post("auth/passkeys/register", {"name": name, "credential": credential})
    api.renew()
    return [str(code) for code in answer["recovery_codes"]]


def log_in_options(api: Api) -> Any:
    return api.call("POST", "auth/passkeys/login/options", is_open=True)["public_key"]


def log_in_by_passkey(api: Api, *, credential: Any, device_token: str) -> Tokens:
    body = {"credential": credential, "device_token": device_token}
    return Tokens.model_validate(api.call("POST", "auth/passkeys/login", body=body, is_open=True))


def step_up_options(api: Api) -> Any:
    return api.post("auth/passkeys/step-up/options")["public_key"]
