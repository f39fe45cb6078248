"""The ceremonies of passkeys as a browser goes through them, and what a device can do wrong in one."""

from collections.abc import Callable
from typing import Any

from apps.accounts.models import User
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient
from tests.support.authenticator import SoftwareAuthenticator

BASE = "/api/v1/auth/passkeys"
STEP_UP = "/api/v1/auth/step-up"
ORIGIN = "https://muckard.example"


def step_up(client: UserServiceClient, **proof: Any) -> None:
    answer = client.post(STEP_UP, proof)
    assert answer.status_code == 200, answer.json()
    client.bear(answer.json()["access"])


def step_up_with(client: UserServiceClient, device: SoftwareAuthenticator) -> None:
    step_up(client, passkey=device.get(options(client, "step-up")))


def options(client: UserServiceClient, purpose: str) -> dict[str, Any]:
    answer = client.post(f"{BASE}/{purpose}/options")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store"), answer.json()
    public_key: dict[str, Any] = answer.json()["public_key"]
    return public_key


def register(client: UserServiceClient, device: SoftwareAuthenticator, name: str = "Phone") -> Any:
    made = device.create(options(client, "register"))
    return client.post(f"{BASE}/register", {"name": name, "credential": made})


def registered(client: UserServiceClient, device: SoftwareAuthenticator) -> dict[str, Any]:
    step_up(client, password=PASSWORD)
    answer = register(client, device)
    assert answer.status_code == 201, answer.json()
    body: dict[str, Any] = answer.json()
    return body


def log_in(device: SoftwareAuthenticator) -> Any:
    api = UserServiceClient()
    return api.post(f"{BASE}/login", {"credential": device.get(options(api, "login"))})


def refused(answer: Any) -> bool:
    return (answer.status_code, answer.json()["error"]["code"]) == (401, "passkey_refused")


def events_of(user: User, kind: str) -> int:
    return StoredEvent.objects.filter(event_type=kind, aggregate_id=user.id).count()


def _wrong_origin(device: SoftwareAuthenticator) -> None:
    device.origin = "https://muckard.example.evil"


def _wrong_port(device: SoftwareAuthenticator) -> None:
    device.origin = f"{ORIGIN}:8443"


def _wrong_party(device: SoftwareAuthenticator) -> None:
    device.rp_id = "evil.example"


def _not_verified(device: SoftwareAuthenticator) -> None:
    device.is_verified = False


def _in_a_foreign_frame(device: SoftwareAuthenticator) -> None:
    device.cross_origin = True


WRONG: list[Callable[[SoftwareAuthenticator], None]] = [
    _wrong_origin,
    _wrong_port,
    _wrong_party,
    _not_verified,
    _in_a_foreign_frame,
]
