"""Whether the read models have all that bots have reported."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import connection

from apps.events.consumers.registry import load_consumers, registrations_for
from apps.messages.topics import RETENTION

READ_MODELS = "kraken.bot-read-models"

# Every event of these types is in the inbox of the group once its rows are written. Commands are not read.
_UNREAD = """
SELECT DISTINCT aggregate_id FROM event AS each
 WHERE aggregate_type = 'bot' AND aggregate_id = ANY(%s) AND recorded_at > %s AND event_type = ANY(%s)
   AND NOT EXISTS (SELECT FROM inbox WHERE consumer = %s AND inbox.event_id = each.event_id)
"""


def bots_with_unread_reports(*, bot_ids: Collection[UUID], now: datetime) -> set[UUID]:
    """Those of the bots with stored events that the read models do not have yet.

    The event store is complete at every commit; consumers follow it, by seconds or by an outage of a broker.
    """
    load_consumers()
    types = sorted({name for name, _ in registrations_for(READ_MODELS)})
    with connection.cursor() as cursor:
        cursor.execute(_UNREAD, [list(bot_ids), now - RETENTION, types, READ_MODELS])
        return {row[0] for row in cursor.fetchall()}
