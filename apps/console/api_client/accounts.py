"""Accounts: log-in, profile, sessions, second factors (docs/accounts.md)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.console.api_client.base import Answer, Api, Page


class Tokens(Answer):
    access: str
    refresh: str
    device_token: str = ""


class EmailChange(Answer):
    email: str
    requested_at: datetime
    expires_at: datetime


class Me(Answer):
    id: str
    email: str
    email_verified_at: datetime | None
    name: str
    time_zone: str
    roles: list[str]
    created_at: datetime
    email_change: EmailChange | None = None


def log_in(api: Api, *, email: str, password: str, otp: str = "", device_token: str = "") -> Tokens:
    """Raises ApiRefused: `invalid_credentials`, `otp_required`, `otp_invalid`, `too_many_attempts`."""
    body = {"email": email, "password": password, "otp": otp, "device_token": device_token}
    return Tokens.model_validate(api.call("POST", "auth/login", body=body, is_open=True))


def log_out(api: Api, *, refresh: str) -> None:
    api.call("POST", "auth/logout", body={"refresh": refresh}, is_open=True)


def me(api: Api) -> Me:
    """The account; pages show times in its time zone from then on."""
    found = Me.model_validate(api.get("user/me"))
    if api.log_in:
        api.log_in.take_profile(email=found.email, name=found.name, time_zone=found.time_zone)
    return found


def change_profile(api: Api, *, name: str, time_zone: str, key: str) -> Me:
    changed = Me.model_validate(api.patch("user/me", {"name": name, "time_zone": time_zone}, key=key))
    if api.log_in:
        api.log_in.take_profile(email=changed.email, name=changed.name, time_zone=changed.time_zone)
    return changed


def step_up(api: Api, **proof: Any) -> None:
    """`otp`, `passkey` or `password`. The log-in has the token with the proof afterwards."""
    answer = api.post("auth/step-up", proof)
    if api.log_in:
        api.log_in.take_tokens(access=str(answer["access"]))


def register(api: Api, *, email: str, password: str, name: str, key: str) -> None:
    """The answer is the same for an address that is taken: its owner gets a mail."""
    api.call("POST", "auth/register", body={"email": email, "password": password, "name": name}, key=key, is_open=True)


def password_forgot(api: Api, *, email: str, key: str) -> None:
    api.call("POST", "auth/password/forgot", body={"email": email}, key=key, is_open=True)


def password_reset(api: Api, *, token: str, password: str, key: str) -> None:
    api.call("POST", "auth/password/reset", body={"token": token, "password": password}, key=key, is_open=True)


def email_verify(api: Api, *, token: str, password: str, key: str) -> bool:
    """Whether the account is the one that was registered; False: it is a new one, whose password comes by mail."""
    body = {"token": token} | ({"password": password} if password else {})
    answer = api.call("POST", "auth/email/verify", body=body, key=key, is_open=api.log_in is None)
    if api.log_in:
        api.renew()
    return answer is None


def email_resend(api: Api, *, key: str) -> None:
    api.post("auth/email/resend", key=key)


def email_change(api: Api, *, email: str, password: str, key: str) -> None:
    """Raises ApiRefused: `step_up_required` where two-factor log-in is on; otherwise the password is the proof."""
    api.post("user/me/email", {"email": email} | ({"password": password} if password else {}), key=key)


def email_change_confirm(api: Api, *, token: str, key: str) -> None:
    api.call("POST", "auth/email/change/confirm", body={"token": token}, key=key, is_open=True)


def email_change_revert(api: Api, *, token: str, key: str) -> None:
    api.call("POST", "auth/email/change/revert", body={"token": token}, key=key, is_open=True)


def password_change(api: Api, *, current_password: str, new_password: str, key: str) -> None:
    api.post("user/me/password", {"current_password": current_password, "new_password": new_password}, key=key)


class Session(Answer):
    id: str
    method: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str | None
    user_agent: str
    is_current: bool


class SessionPage(Page):
    results: list[Session]


def sessions(api: Api, cursor: str | None = None) -> SessionPage:
    return SessionPage.model_validate(api.get("auth/sessions", {"cursor": cursor}))


def end_session(api: Api, session_id: UUID, *, key: str) -> None:
    api.delete(f"auth/sessions/{session_id}", key=key)


class Closure(Answer):
    requested_at: datetime
    remaining: list[dict[str, Any]] | None


def close(api: Api, *, abandon: bool, key: str) -> Closure:
    """For good. Raises ApiRefused: `closure_barred` with what bars it, `step_up_required`."""
    params = {"abandon": "true"} if abandon else None
    return Closure.model_validate(api.call("DELETE", "user/me", params=params, key=key, read_seconds=30.0))
