"""Renews the lease of a running command, so that its handler may use its whole time limit."""

import threading
from datetime import timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog
from django.db import DatabaseError, connection
from django.utils import timezone

from apps.events.commands import executions

logger = structlog.get_logger(__name__)


class LeaseKeeper:
    """Context manager that renews the lease in a thread while the block runs.

    It opens a database connection only if the block runs longer than a third of the lease. A lost lease is not reported
    here: completing the command, which checks the fence, reports it.
    """

    def __init__(self, *, command_id: UUID, fence: int, every: timedelta = executions.LEASE / 3) -> None:
        self._command_id = command_id
        self._fence = fence
        self._every = every.total_seconds()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join(timeout=5.0)

    def _keep(self) -> None:
        try:
            while not self._is_over.wait(self._every):
                try:
                    if not executions.renew(command_id=self._command_id, fence=self._fence, now=timezone.now()):
                        return
                except DatabaseError as error:
                    logger.warning("lease_not_renewed", command_id=str(self._command_id), error=str(error).strip())
                    connection.close()
        finally:
            connection.close()
