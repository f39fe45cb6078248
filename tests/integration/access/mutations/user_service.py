"""The mutations of the user service."""

import re
from datetime import timedelta
from typing import Any

import pyotp
from django.core import mail
from django.utils import timezone

from apps.accounts.models import Passkey
from apps.accounts.services.mail import mail_send_due
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.access.mutations.mutation import Asked, Place, publishes, publishes_nothing
from tests.integration.accounts.passkeys.ceremonies import ORIGIN, options, registered, step_up, step_up_with
from tests.integration.accounts.passkeys.ceremonies import register as register_at
from tests.support.authenticator import SoftwareAuthenticator

NEW_PASSWORD = "a wholly different sentence"
A_CHALLENGE = "a challenge that ends by itself; what it is for is an event"
A_MAIL = "asks for a mail; anyone may, and what the code in it does is an event"


def _mine(**fields: Any) -> tuple[Any, UserServiceClient]:
    user = make_user(**{"email_verified_at": timezone.now(), **fields})
    return user, UserServiceClient(user)


def _mailed_code(email: str) -> str:
    """The code in the last mail to this address."""
    while mail_send_due(now=timezone.now()):
        pass
    bodies = [str(message.body) for message in mail.outbox if message.to == [email]]
    found = re.search(r"^    (\S{40,})$", bodies[-1], re.M)
    assert found
    return found[1]


def _registered() -> str:
    """Registers an address that nobody has proved; returns it."""
    email = "ada@example.com"
    body = {"email": email, "password": PASSWORD}
    assert UserServiceClient().post("/api/v1/auth/register", body).status_code == 201
    return email


@publishes("POST /api/v1/auth/register", "user.created")
def register(place: Place) -> Asked:
    return Asked(UserServiceClient(), {"email": "ada@example.com", "password": PASSWORD})


@publishes("POST /api/v1/auth/email/verify", "user.updated")
def verify(place: Place) -> Asked:
    return Asked(UserServiceClient(), {"token": _mailed_code(_registered()), "password": PASSWORD})


@publishes_nothing("POST /api/v1/auth/email/resend", A_MAIL)
def resend(place: Place) -> Asked:
    return Asked(_mine(email_verified_at=None)[1])


@publishes("POST /api/v1/auth/login", "user.logged_in")
def log_in(place: Place) -> Asked:
    user = make_user()
    return Asked(UserServiceClient(), {"email": user.email, "password": PASSWORD}, actor=user.id)


@publishes("POST /api/v1/auth/logout", "user.logged_out")
def log_out(place: Place) -> Asked:
    user, mine = _mine()
    return Asked(mine, actor=user.id)


@publishes_nothing("POST /api/v1/auth/refresh", "goes on with a session whose beginning and end are events")
def refresh(place: Place) -> Asked:
    mine = _mine()[1]
    assert mine.tokens
    return Asked(UserServiceClient(), {"refresh": mine.tokens.refresh})


@publishes("DELETE /api/v1/auth/sessions/{session_id}", "user.session_ended")
def end_session(place: Place) -> Asked:
    user, mine = _mine()
    return Asked(mine, ids={"session_id": UserServiceClient(user).session_id}, actor=user.id)


@publishes("POST /api/v1/auth/step-up", "user.stepped_up")
def prove_again(place: Place) -> Asked:
    user, mine = _mine()
    return Asked(mine, {"password": PASSWORD}, actor=user.id)


@publishes_nothing("POST /api/v1/auth/mfa/setup", "nothing is protected by it before it is confirmed")
def set_up_mfa(place: Place) -> Asked:
    return Asked(_mine()[1], {"password": PASSWORD})


def _with_a_secret() -> tuple[Any, UserServiceClient, pyotp.TOTP]:
    user, mine = _mine()
    secret = mine.post("/api/v1/auth/mfa/setup", {"password": PASSWORD}).json()["secret"]
    return user, mine, pyotp.TOTP(secret)


@publishes("POST /api/v1/auth/mfa/confirm", "user.mfa.enabled")
def confirm_mfa(place: Place) -> Asked:
    user, mine, totp = _with_a_secret()
    return Asked(mine, {"otp": totp.now()}, actor=user.id)


@publishes("POST /api/v1/auth/mfa/disable", "user.mfa.disabled")
def disable_mfa(place: Place) -> Asked:
    user, mine, totp = _with_a_secret()
    before = timezone.now() - timedelta(seconds=30)
    assert mine.post("/api/v1/auth/mfa/confirm", {"otp": totp.at(before)}).status_code == 200
    return Asked(mine, {"password": PASSWORD, "otp": totp.now()}, actor=user.id)


@publishes_nothing("POST /api/v1/auth/password/forgot", A_MAIL)
def forget_password(place: Place) -> Asked:
    return Asked(UserServiceClient(), {"email": make_user().email})


@publishes("POST /api/v1/auth/password/reset", "user.password_changed")
def reset_password(place: Place) -> Asked:
    user = make_user()
    UserServiceClient().post("/api/v1/auth/password/forgot", {"email": user.email})
    return Asked(UserServiceClient(), {"token": _mailed_code(user.email), "password": NEW_PASSWORD})


@publishes("POST /api/v1/user/me/password", "user.password_changed")
def change_password(place: Place) -> Asked:
    user, mine = _mine()
    return Asked(mine, {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, actor=user.id)


@publishes("PATCH /api/v1/user/me", "user.updated")
def change_me(place: Place) -> Asked:
    user, mine = _mine()
    return Asked(mine, {"name": "Ada"}, actor=user.id)


@publishes("DELETE /api/v1/user/me", "user.closed")
def close_account(place: Place) -> Asked:
    user, mine = _mine()
    step_up(mine, password=PASSWORD)
    return Asked(mine, actor=user.id)


@publishes("PATCH /api/v1/user/{user_id}", "user.updated")
def change_user_as_admin(place: Place) -> Asked:
    admin, mine = _mine(roles=["admin"])
    return Asked(mine, {"name": "Ada"}, ids={"user_id": make_user().id}, actor=admin.id)


NEW_ADDRESS = "ada@example.org"


def _change_of_address() -> tuple[Any, UserServiceClient]:
    user, mine = _mine()
    step_up(mine, password=PASSWORD)
    answer = mine.post("/api/v1/user/me/email", {"email": NEW_ADDRESS, "password": PASSWORD})
    assert answer.status_code == 202, answer.json()
    return user, mine


@publishes("POST /api/v1/user/me/email", "user.email.change_requested")
def ask_for_new_address(place: Place) -> Asked:
    user, mine = _mine()
    step_up(mine, password=PASSWORD)
    return Asked(mine, {"email": NEW_ADDRESS, "password": PASSWORD}, actor=user.id)


@publishes("POST /api/v1/auth/email/change/confirm", "user.email.changed")
def confirm_new_address(place: Place) -> Asked:
    _change_of_address()
    return Asked(UserServiceClient(), {"token": _mailed_code(NEW_ADDRESS)})


@publishes("POST /api/v1/auth/email/change/revert", "user.email.reverted")
def take_address_back(place: Place) -> Asked:
    user, _ = _change_of_address()
    return Asked(UserServiceClient(), {"token": _mailed_code(user.email)})


@publishes("POST /api/v1/onboarding/{step}", "onboarding.step_completed")
def onboarding_step(place: Place) -> Asked:
    user, mine = _mine()
    body = {"country": "DE", "experience": "some", "is_adult": True}
    return Asked(mine, body, ids={"step": "profile"}, actor=user.id)


@publishes("POST /api/v1/auth/api-keys", "user.api_key.created")
def create_machine_key(place: Place) -> Asked:
    user, mine = _mine()
    step_up(mine, password=PASSWORD)
    return Asked(mine, {"name": "script", "scopes": ["read"]}, actor=user.id)


@publishes("DELETE /api/v1/auth/api-keys/{key_id}", "user.api_key.revoked")
def revoke_machine_key(place: Place) -> Asked:
    asked = create_machine_key.prepare(place)
    made = asked.client.post("/api/v1/auth/api-keys", asked.body)
    assert made.status_code == 201, made.json()
    return Asked(asked.client, ids={"key_id": made.json()["id"]}, actor=asked.actor)


def _with_a_passkey() -> tuple[Any, UserServiceClient, SoftwareAuthenticator, str]:
    (user, mine), device = _mine(), SoftwareAuthenticator(origin=ORIGIN)
    registered(mine, device)
    return user, mine, device, str(Passkey.objects.get(user=user).id)


@publishes_nothing("POST /api/v1/auth/passkeys/register/options", A_CHALLENGE)
def options_to_register(place: Place) -> Asked:
    mine = _mine()[1]
    step_up(mine, password=PASSWORD)
    return Asked(mine)


@publishes("POST /api/v1/auth/passkeys/register", "user.passkey.added")
def register_passkey(place: Place) -> Asked:
    (user, mine), device = _mine(), SoftwareAuthenticator(origin=ORIGIN)
    step_up(mine, password=PASSWORD)
    return Asked(mine, {"name": "Phone", "credential": device.create(options(mine, "register"))}, actor=user.id)


@publishes("PATCH /api/v1/auth/passkeys/{passkey_id}", "user.passkey.renamed")
def rename_passkey(place: Place) -> Asked:
    user, mine, _, passkey = _with_a_passkey()
    return Asked(mine, {"name": "Old phone"}, ids={"passkey_id": passkey}, actor=user.id)


@publishes("DELETE /api/v1/auth/passkeys/{passkey_id}", "user.passkey.removed")
def remove_passkey(place: Place) -> Asked:
    user, mine, device, passkey = _with_a_passkey()
    step_up_with(mine, device)
    # The only second factor is not removed.
    assert register_at(mine, SoftwareAuthenticator(origin=ORIGIN), name="Another").status_code == 201
    return Asked(mine, ids={"passkey_id": passkey}, actor=user.id)


@publishes_nothing("POST /api/v1/auth/passkeys/login/options", A_CHALLENGE)
def options_to_log_in(place: Place) -> Asked:
    return Asked(UserServiceClient())


@publishes("POST /api/v1/auth/passkeys/login", "user.logged_in")
def log_in_with_passkey(place: Place) -> Asked:
    user, _, device, _ = _with_a_passkey()
    api = UserServiceClient()
    return Asked(api, {"credential": device.get(options(api, "login"))}, actor=user.id)


@publishes_nothing("POST /api/v1/auth/passkeys/step-up/options", A_CHALLENGE)
def options_to_step_up(place: Place) -> Asked:
    return Asked(_with_a_passkey()[1])
