"""What the state of a bot is made from, by one statement for any number of bots."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection

from apps.bots.models import Bot, BotCommand, BotOrder, BotStatus
from apps.bots.models.definitions import LIFECYCLE
from apps.core.model_columns import ModelColumns
from apps.events.models import CommandExecution
from apps.risk.models.halts import PLATFORM_ID, Halt, HaltScope


@dataclass(frozen=True)
class Overview:
    """A bot with the rows that its state is made from.

    `command` is the open lifecycle command and `execution` its execution; `orders` are those that have not ended, the
    oldest first; `halts` are those in force that cover the bot, the oldest first.
    """

    bot: Bot
    status: BotStatus
    command: BotCommand | None
    execution: CommandExecution | None
    orders: list[BotOrder] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)


# A bot with several orders or halts has a row for each pair of them: of either there are few.
_SQL = """
SELECT {columns}
  FROM bot AS b
  LEFT JOIN bot_status AS s ON s.bot_id = b.id
  LEFT JOIN bot_command AS c ON c.bot_id = b.id AND c.closed_at IS NULL AND c.kind = ANY(%(lifecycle)s)
  LEFT JOIN command_execution AS x ON x.command_id = c.id
  LEFT JOIN bot_order AS o ON o.bot_id = b.id AND o.ended_at IS NULL
  LEFT JOIN LATERAL (
       SELECT halt.*
         FROM (VALUES ('{bot}', b.id), ('{key}', b.credential_id), ('{user}', b.user_id), ('{platform}', %(platform)s))
              AS covered (scope, subject_id)
         JOIN risk_halt AS halt USING (scope, subject_id)
        WHERE halt.lifted_at IS NULL
       ) AS h ON TRUE
 WHERE b.id = ANY(%(ids)s) AND (%(owner)s IS NULL OR b.user_id = %(owner)s AND b.deleted_at IS NULL)
 ORDER BY o.planned_at, o.order_id, h.since, h.id
"""


def overviews(*, bot_ids: Collection[UUID], owner_id: UUID | None = None) -> dict[UUID, Overview]:
    """By bot. With `owner_id` only the bots of that user, without those that were deleted."""
    columns = _columns()
    found: dict[UUID, Overview] = {}
    values = {"ids": list(bot_ids), "owner": owner_id, "lifecycle": LIFECYCLE, "platform": PLATFORM_ID}
    with connection.cursor() as cursor:
        cursor.execute(columns.sql, values)
        for row in cursor.fetchall():
            columns.add(row, to=found)
    return found


class _Columns:
    def __init__(self) -> None:
        self._bot = ModelColumns(Bot, "b")
        self._status = ModelColumns(BotStatus, "s", start=self._bot.end)
        self._command = ModelColumns(BotCommand, "c", start=self._status.end)
        self._execution = ModelColumns(CommandExecution, "x", start=self._command.end)
        self._order = ModelColumns(BotOrder, "o", start=self._execution.end)
        self._halt = ModelColumns(Halt, "h", start=self._order.end)
        parts: tuple[ModelColumns[Any], ...] = (
            self._bot, self._status, self._command, self._execution, self._order, self._halt,
        )  # fmt: skip
        scopes = {scope.name.lower(): scope.value for scope in HaltScope}
        self.sql = _SQL.format(columns=", ".join(part.sql for part in parts), **scopes)

    def add(self, row: tuple[Any, ...], *, to: dict[UUID, Overview]) -> None:
        bot = self._bot.read(row)
        assert bot is not None
        overview = to.get(bot.id)
        if overview is None:
            status = self._status.read(row) or BotStatus(bot_id=bot.id, user_id=bot.user_id)
            overview = to[bot.id] = Overview(bot, status, self._command.read(row), self._execution.read(row))
        order, halt = self._order.read(row), self._halt.read(row)
        if order is not None and order not in overview.orders:
            overview.orders.append(order)
        if halt is not None and halt not in overview.halts:
            overview.halts.append(halt)


@cache
def _columns() -> _Columns:
    return _Columns()
