"""Two-factor log-in: set-up with the password, confirmation with a code, required at log-in, each code valid once."""

import re
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pyotp
import pytest
import segno
from django.db import connection
from django.utils import timezone

from apps.accounts.errors import OtpInvalid, OtpRequired, TooManyAttempts
from apps.accounts.models import LockoutCounter, MfaDevice, OutgoingMail, RecoveryCode, User, UserSession
from apps.accounts.services.lockout import LIMITS
from apps.accounts.services.login import user_log_in
from apps.accounts.services.mfa import STEP_SECONDS, mfa_confirm, mfa_set_up
from apps.accounts.services.passwords import password_reset
from apps.core.crypto import CannotDecrypt
from apps.core.identity.client_info import ClientInfo
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

SETUP, CONFIRM, DISABLE = (f"/api/v1/auth/mfa/{step}" for step in ("setup", "confirm", "disable"))
UNKNOWN_CLIENT = ClientInfo(address=None, user_agent="")


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def mine(user: User) -> UserServiceClient:
    return UserServiceClient(user)


def _switch_on(user: User, now: datetime) -> tuple[pyotp.TOTP, list[str]]:
    """Enables it with the previous step's code, so that the current code is still valid."""
    setup = mfa_set_up(user_id=user.id, password=PASSWORD, now=now)
    totp = pyotp.TOTP(setup.secret)
    before = now - timedelta(seconds=STEP_SECONDS)
    return totp, mfa_confirm(user_id=user.id, otp=totp.at(before), now=before)


def _log_in(user: User, otp: str, now: datetime) -> None:
    user_log_in(email=user.email, password=PASSWORD, otp=otp, client=UNKNOWN_CLIENT, now=now)


def test_setting_up_answers_what_an_authenticator_needs_and_changes_nothing_yet(
    mine: UserServiceClient, user: User
) -> None:
    answer = mine.post(SETUP, {"password": PASSWORD})

    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    secret = answer.json()["secret"]
    parsed = pyotp.parse_uri(answer.json()["otpauth_uri"])
    assert (parsed.secret, parsed.issuer, parsed.name) == (secret, "Muckard", user.email)
    _log_in(user, "", timezone.now())


def _dark_modules(svg: str) -> set[tuple[int, int]]:
    """Column and row of each dark module that the image draws: horizontal strokes, one row of modules high."""
    root = ElementTree.fromstring(svg)
    (strokes,) = [path.attrib["d"] for path in root if "stroke" in path.attrib]
    dark, x, y = set(), 0, 0.0
    for step, numbers in re.findall(r"([Mmh])([-0-9. ]+)", strokes):
        along, *down = (float(number) for number in numbers.split())
        if step == "h":
            dark |= {(column, int(y)) for column in range(x, x + int(along))}
            x += int(along)
        else:
            x, y = (int(along), down[0]) if step == "M" else (x + int(along), y + down[0])
    return dark


def test_the_image_is_the_qr_code_of_the_uri_with_the_quiet_zone_that_cameras_need(
    mine: UserServiceClient, user: User
) -> None:
    answer = mine.post(SETUP, {"password": PASSWORD}).json()

    border = 4  # modules, ISO/IEC 18004
    matrix = segno.make(answer["otpauth_uri"], error="m", micro=False).matrix
    expected = {(x + border, y + border) for y, row in enumerate(matrix) for x, module in enumerate(row) if module}
    assert _dark_modules(answer["qr_svg"]) == expected
    side = len(matrix) + 2 * border
    assert ElementTree.fromstring(answer["qr_svg"]).attrib == {"viewBox": f"0 0 {side} {side}"}
    assert answer["secret"] not in answer["qr_svg"]


def test_the_whole_way_over_http(mine: UserServiceClient, api: UserServiceClient, user: User) -> None:
    totp = pyotp.TOTP(mine.post(SETUP, {"password": PASSWORD}).json()["secret"])
    confirmed = mine.post(CONFIRM, {"otp": totp.now()})
    assert (confirmed.status_code, len(set(confirmed.json()["recovery_codes"]))) == (200, 10)

    credentials = {"email": user.email, "password": PASSWORD}
    asked = api.post("/api/v1/auth/login", credentials)
    assert (asked.status_code, asked.json()["error"]["code"]) == (401, "otp_required")
    wrong = api.post("/api/v1/auth/login", {**credentials, "otp": "000000"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "otp_invalid")
    recovered = api.post("/api/v1/auth/login", {**credentials, "otp": confirmed.json()["recovery_codes"][0]})
    assert recovered.status_code == 200

    disabled = mine.post(DISABLE, {"password": PASSWORD, "otp": confirmed.json()["recovery_codes"][1]})
    assert disabled.status_code == 204
    assert api.post("/api/v1/auth/login", credentials).status_code == 200
    assert MfaDevice.objects.count() == RecoveryCode.objects.count() == 0
    changes = [bytes(event.payload) for event in StoredEvent.objects.filter(event_type="user.updated")]
    assert [b'"mfa"' in change for change in changes] == [True, True]
    assert {mail.kind for mail in OutgoingMail.objects.all()} == {"mfa_enabled", "mfa_disabled"}


def test_the_session_says_how_it_was_opened(user: User) -> None:
    now = timezone.now()
    totp, _ = _switch_on(user, now)

    _log_in(user, totp.at(now), now)

    assert UserSession.objects.get().method == "password_and_otp"
    (event,) = StoredEvent.objects.filter(event_type="user.logged_in")
    assert b'"method":"password_and_otp"' in bytes(event.payload)


def test_a_code_is_good_once(user: User) -> None:
    now = timezone.now()
    totp, _ = _switch_on(user, now)
    _log_in(user, totp.at(now), now)

    with pytest.raises(OtpInvalid):
        _log_in(user, totp.at(now), now)
    assert UserSession.objects.count() == 1


def test_a_code_from_before_the_last_used_one_is_not_good(user: User) -> None:
    now = timezone.now() + timedelta(hours=1)
    totp, _ = _switch_on(user, now)
    before = totp.at(now)
    later = now + timedelta(seconds=STEP_SECONDS)
    _log_in(user, totp.at(later), later)

    with pytest.raises(OtpInvalid):
        _log_in(user, before, later)


@pytest.mark.parametrize(("steps", "is_good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_wrong_by_one_step(user: User, steps: int, is_good: bool) -> None:
    totp, _ = _switch_on(user, timezone.now() - timedelta(hours=1))
    now = timezone.now()
    code = totp.at(now + timedelta(seconds=steps * STEP_SECONDS))

    if is_good:
        _log_in(user, code, now)
    else:
        with pytest.raises(OtpInvalid):
            _log_in(user, code, now)


def test_a_recovery_code_is_good_once_and_however_it_is_written(user: User) -> None:
    now = timezone.now()
    _, codes = _switch_on(user, now)

    _log_in(user, codes[3].upper().replace("-", " "), now)
    with pytest.raises(OtpInvalid):
        _log_in(user, codes[3], now)


def test_a_code_does_not_help_without_the_password(user: User) -> None:
    now = timezone.now()
    totp, _ = _switch_on(user, now)

    with pytest.raises(Exception, match="address or the password"):
        user_log_in(email=user.email, password="wrong", otp=totp.at(now), client=UNKNOWN_CLIENT, now=now)
    _log_in(user, totp.at(now), now)


def test_guessing_codes_locks_the_account(user: User) -> None:
    now = timezone.now()
    totp, _ = _switch_on(user, now)
    for number in range(LIMITS[LockoutCounter.Kind.PAIR].attempts):
        with pytest.raises(OtpInvalid):
            _log_in(user, f"00000{number}", now)
        if number == 0:
            with pytest.raises(OtpRequired):  # resets nothing, and counts as no guess
                _log_in(user, "", now)

    with pytest.raises(TooManyAttempts):
        _log_in(user, totp.at(now), now)


def test_the_password_is_asked_for_again(mine: UserServiceClient, user: User) -> None:
    refused = mine.post(SETUP, {"password": "wrong"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "password_wrong")
    assert MfaDevice.objects.count() == 0

    now = timezone.now()
    totp, _ = _switch_on(user, now)
    assert mine.post(DISABLE, {"password": "wrong", "otp": totp.at(now)}).status_code == 422
    assert mine.post(DISABLE, {"password": PASSWORD, "otp": "000000"}).json()["error"]["code"] == "otp_wrong"
    assert MfaDevice.objects.count() == 1


def test_it_cannot_be_set_up_over_one_that_is_on(mine: UserServiceClient, user: User) -> None:
    _switch_on(user, timezone.now())
    before = MfaDevice.objects.values().get()

    answer = mine.post(SETUP, {"password": PASSWORD})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "mfa_already_enabled")
    assert MfaDevice.objects.values().get() == before


@pytest.mark.parametrize(
    ("path", "body"), [(CONFIRM, {"otp": "123456"}), (DISABLE, {"otp": "1", "password": PASSWORD})]
)
def test_what_was_not_set_up_cannot_be_confirmed_or_disabled(
    mine: UserServiceClient, path: str, body: dict[str, str]
) -> None:
    answer = mine.post(path, body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "mfa_not_set_up")


def test_what_succeeds_does_not_count_towards_the_lock(mine: UserServiceClient, user: User) -> None:
    for _ in range(LIMITS[LockoutCounter.Kind.PASSWORD].attempts):
        secret = mine.post(SETUP, {"password": PASSWORD}).json()["secret"]
    codes = mine.post(CONFIRM, {"otp": pyotp.TOTP(secret).now()}).json()["recovery_codes"]
    assert mine.post(DISABLE, {"password": PASSWORD, "otp": codes[0]}).status_code == 204

    assert LockoutCounter.objects.count() == 0


@pytest.mark.parametrize(
    ("path", "guess"),
    [
        (SETUP, {"password": "wrong"}),
        (CONFIRM, {"otp": "000000"}),
        (DISABLE, {"password": "wrong", "otp": "000000"}),
    ],
)
def test_a_stolen_token_does_not_allow_guessing_here_either(
    mine: UserServiceClient, user: User, path: str, guess: dict[str, str]
) -> None:
    mine.post(SETUP, {"password": PASSWORD})
    limit = LIMITS[LockoutCounter.Kind.PASSWORD].attempts

    statuses = [mine.post(path, guess, HTTP_IDEMPOTENCY_KEY="guess").status_code for _ in range(limit + 1)]

    assert statuses == [422] * limit + [429]


def test_an_unconfirmed_secret_can_be_made_anew(mine: UserServiceClient) -> None:
    first = mine.post(SETUP, {"password": PASSWORD}).json()["secret"]
    second = mine.post(SETUP, {"password": PASSWORD}).json()["secret"]

    assert first != second
    assert mine.post(CONFIRM, {"otp": pyotp.TOTP(first).now()}).status_code == 422
    assert mine.post(CONFIRM, {"otp": pyotp.TOTP(second).now()}).status_code == 200


@pytest.mark.parametrize("otp", ["ééé123", "１２３４５６", "<script>", "x" * 25, None, 123456.5])
def test_what_is_no_code_is_refused(mine: UserServiceClient, user: User, otp: Any) -> None:
    _switch_on(user, timezone.now())

    assert mine.post(DISABLE, {"password": PASSWORD, "otp": otp}).status_code in (400, 422)
    assert MfaDevice.objects.count() == 1


def test_secret_and_recovery_codes_lie_nowhere_in_the_clear(user: User) -> None:
    totp, codes = _switch_on(user, timezone.now())

    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema IN ('users', 'events')")
        tables = [row[0] for row in cursor.fetchall()]
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            text = " ".join(row[0] for row in cursor.fetchall())
            for secret in (totp.secret, codes[0], codes[0].replace("-", "")):
                assert secret not in text
                assert secret.encode().hex() not in text


def test_a_secret_copied_to_another_account_does_not_open(user: User) -> None:
    _switch_on(user, timezone.now())
    other = make_user()
    MfaDevice.objects.update(user=other)

    with pytest.raises(CannotDecrypt):
        user_log_in(email=other.email, password=PASSWORD, otp="123456", client=UNKNOWN_CLIENT, now=timezone.now())


def test_a_password_reset_does_not_switch_it_off(user: User) -> None:
    from apps.accounts.models import OneTimeToken
    from apps.accounts.services.one_time_tokens import token_issue

    now = timezone.now()
    _switch_on(user, now)
    token = token_issue(user=user, purpose=OneTimeToken.Purpose.RESET_PASSWORD, now=now)
    password_reset(token=token, new_password="a wholly different sentence", client=UNKNOWN_CLIENT, now=now)

    with pytest.raises(OtpRequired):
        user_log_in(email=user.email, password="a wholly different sentence", otp="", client=UNKNOWN_CLIENT, now=now)
