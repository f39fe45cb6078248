"""Which process a consumer of Kafka runs in: each service whose apps have groups has one of its own."""

from django.conf import settings

# By service; the names are those of the process table.
PROCESS_OF_SERVICE = {"kraken": "event-consumer", "user": "user-consumer"}
_DEFAULT = "event-consumer"


def consumer_process() -> str:
    """The name of this service's consumer process, under which its groups report."""
    return PROCESS_OF_SERVICE.get(settings.SERVICE, _DEFAULT)
