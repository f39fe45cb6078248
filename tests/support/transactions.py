"""Two writers of the same rows, the second of which has to wait for the first one's transaction."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection, transaction

T = TypeVar("T")


def one_after_the_other(
    first: Callable[[], object], second: Callable[[], T], *, meanwhile: Callable[[], object] | None = None
) -> T:
    """Calls `first` in a transaction, and `second` on another connection, which must not get on until that transaction
    has committed. `meanwhile` is called inside the transaction while `second` waits. Returns what `second` returns.
    """
    began = threading.Event()

    def on_another_connection() -> T:
        began.set()
        try:
            return second()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            waiting = pool.submit(on_another_connection)
            assert began.wait(5)
            with pytest.raises(TimeoutError):  # it must not read the old state
                waiting.result(timeout=0.3)
            if meanwhile is not None:
                meanwhile()
        return waiting.result(timeout=10)
