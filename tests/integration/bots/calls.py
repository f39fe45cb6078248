"""Calls of the kraken service by method and path behind `/api/v1/bot/{id}`."""

MUTATIONS = [
    ("patch", ""),
    ("delete", ""),
    ("post", "/clone"),
    ("post", "/start"),
    ("post", "/pause"),
    ("post", "/stop"),
    ("post", "/flatten"),
    ("post", "/trigger-trade"),
]
