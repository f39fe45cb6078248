"""Confirm window: how many messages may be unconfirmed at a time, by slow start and multiplicative decrease."""

# Largest window. A lost connection leaves the fate of so many messages unknown, and of no others.
MAX_WINDOW = 512


class ConfirmWindow:
    """The window is 1 after each connect, and grows by 1 per confirm up to the threshold (slow start).

    When a confirm times out, or the connection is lost while messages are unconfirmed, the threshold becomes half of
    the window (multiplicative decrease). After a full threshold of confirms at that size, it grows by a quarter.
    """

    def __init__(self) -> None:
        self.size = 1
        self._threshold = MAX_WINDOW
        self._confirms_at_threshold = 0

    def restart(self) -> None:
        """Begins slow start on a new connection. The threshold stays."""
        self.size = 1
        self._confirms_at_threshold = 0

    def confirmed(self, count: int, *, unconfirmed: int) -> None:
        """Counts `count` confirms; `unconfirmed` messages were in flight before them.

        The window grows only if at least half of it was in use: otherwise it was not the window that limited sending.
        """
        if 2 * unconfirmed < self.size:
            return
        self.size = min(self.size + count, self._threshold)
        if self.size < self._threshold:
            return
        self._confirms_at_threshold += count
        if self._confirms_at_threshold >= self._threshold:
            self._confirms_at_threshold = 0
            self._threshold = min(self._threshold + self._threshold // 4 + 1, MAX_WINDOW)

    def timed_out(self) -> None:
        """Halves the threshold: the broker did not confirm a window of the current size in time."""
        self._threshold = max(self.size // 2, 1)
