"""The mailer's heartbeat is down if the mail server fails or due mail is not sent, but not if one mailbox refuses."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from unittest import mock

import pytest
from django.utils import timezone

from apps.accounts.backlog import mail_backlog
from apps.accounts.management.commands.run_mailer import Mailer
from apps.accounts.models import OutgoingMail
from apps.accounts.services.mail import mail_queue
from apps.events.models import ProcessHeartbeat
from apps.events.process import heartbeats
from tests.factories.accounts import make_user
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db

SEND = "django.core.mail.EmailMessage.send"


@pytest.fixture
def mailer(monkeypatch: pytest.MonkeyPatch) -> Mailer:
    monkeypatch.setattr("apps.events.process.progress.LIMIT_SECONDS", 0.5)
    monkeypatch.setattr(heartbeats, "SECONDS_BETWEEN_BEATS", 0.0)
    heartbeats._written.clear()
    return Mailer()


def queue_one(email: str = "") -> None:
    mail_queue(kind=OutgoingMail.Kind.PASSWORD_CHANGED, email=email or make_user().email, now=timezone.now())


def is_in(mailer: Mailer, state: str) -> bool:
    mailer.step()
    return ProcessHeartbeat.objects.get(name="mailer").state == state


def test_a_mail_server_that_fails_is_told_until_it_takes_mail_again(mailer: Mailer) -> None:
    queue_one()
    with mock.patch(SEND, side_effect=ConnectionRefusedError):
        eventually(lambda: is_in(mailer, "down"), what="the news of it")
    detail = ProcessHeartbeat.objects.get(name="mailer").detail
    assert detail.startswith("No mail was sent for 0 s; waiting: 1. The mail server fails with ConnectionRefusedError")
    assert "MUCKARD_SMTP_URL" in detail

    queue_one()
    eventually(lambda: is_in(mailer, "up"), what="the news of its recovery")


def test_mail_that_is_due_and_stays_is_told(mailer: Mailer) -> None:
    queue_one()
    with mock.patch("apps.accounts.management.commands.run_mailer.mail_send_due", return_value=False):
        eventually(lambda: is_in(mailer, "down"), what="the news of it")
    assert "waiting: 1. See the mailer's log." in ProcessHeartbeat.objects.get(name="mailer").detail


def test_a_mailbox_that_refuses_does_not_count(mailer: Mailer) -> None:
    queue_one()
    with mock.patch(SEND, side_effect=SMTPRecipientsRefused({})):
        mailer.step()
    assert OutgoingMail.objects.get().last_error == "SMTPRecipientsRefused"
    assert mail_backlog(now=timezone.now()).count == 0


def test_a_mail_that_failed_before_others_were_sent_waits_for_its_turn_and_is_no_stall() -> None:
    now = timezone.now()
    fields = {"kind": "password_changed", "created_at": now - timedelta(hours=1)}
    OutgoingMail.objects.create(
        **fields, email="a@b.example", attempts=1, last_error="SMTPDataError",
        next_attempt_at=now + timedelta(seconds=30),
    )  # fmt: skip
    assert mail_backlog(now=now).count == 1
    OutgoingMail.objects.create(**fields, email="c@b.example", attempts=1, next_attempt_at=now, sent_at=now)
    assert mail_backlog(now=now).count == 0


def test_a_mailer_without_mail_is_up(mailer: Mailer) -> None:
    assert all(is_in(mailer, "up") for _ in range(20))


def test_without_a_mail_server_it_waits_quietly_and_says_so(mailer: Mailer) -> None:
    queue_one()
    waiting = Mailer(has_server=False)

    with mock.patch(SEND) as send:
        waiting.step()

    send.assert_not_called()
    beat = ProcessHeartbeat.objects.get(name="mailer")
    assert beat.state == "up"
    assert beat.detail.startswith("No mail is sent, 1 waiting. MUCKARD_SMTP_URL is missing")
    assert OutgoingMail.objects.get().attempts == 0
