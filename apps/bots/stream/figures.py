"""Figures of the stream process."""

from apps.core.metrics import WAITS, counter, gauge, histogram

PROCESSES = ("stream",)

open_streams = gauge("stream_open", "Open streams.", processes=PROCESSES, children="livesum")
sent = counter("stream_events_total", "Events that were handed to streams.", processes=PROCESSES)
ended = counter(
    "stream_ended_total",
    "Streams that the server ended: slow (its client does not read), access (session or key ended), token (expired), "
    "shutdown.",
    ["reason"],
    processes=PROCESSES,
)
resets = counter(
    "stream_resets_total", "Streams that could not resume and told their client to load anew.", processes=PROCESSES
)
delay = histogram(
    "stream_delay_seconds",
    "From a change to its event in the queues of the streams.",
    processes=PROCESSES,
    buckets=WAITS,
)
behind = gauge(
    "stream_behind_seconds",
    "Since the reader last had everything that there was; grows while PostgreSQL does not answer.",
    processes=PROCESSES,
)
