"""Locks between those who bar orders and those who send them.

Marking an order as being sent holds the locks of its bot, key, user and platform in share mode until its commit. A halt
or stop holds the one lock of its subject alone. So a halt waits for the marks under way, and a mark that comes after
reads the halt: none that has read the old state commits after it.

Order of locks: these first, before rows of runs and before anything is published. A mark takes them before its run's
row, and publishing holds the aggregate's lock; a halt that held either would wait for a mark that waits for the halt.
"""

from uuid import UUID

from django.db import connection

from apps.risk.models.halts import PLATFORM_ID, HaltScope

_KEY = "hashtextextended(%s, 0)"

# Longer than the server lets a frozen process keep a transaction open (`idle_in_transaction_session_timeout`, 15 s).
_WAIT = "20s"


def hold_shared(*, bot_id: UUID, credential_id: UUID, user_id: UUID) -> None:
    """Bars changes of every halt that covers the bot, until the end of the transaction. Waits for those under way."""
    names = [
        _name(HaltScope.PLATFORM, PLATFORM_ID),
        _name(HaltScope.USER, user_id),
        _name(HaltScope.KEY, credential_id),
        _name(HaltScope.BOT, bot_id),
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join([f"pg_advisory_xact_lock_shared({_KEY})"] * len(names)), names)


def hold_alone(scope: HaltScope, subject_id: UUID) -> None:
    """Waits for the marks under way that the subject covers, and keeps others out until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [_WAIT])
        before = cursor.fetchone()[0]
        cursor.execute(f"SELECT pg_advisory_xact_lock({_KEY})", [_name(scope, subject_id)])
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def _name(scope: HaltScope, subject_id: UUID) -> str:
    return f"risk:{scope}:{subject_id}"
