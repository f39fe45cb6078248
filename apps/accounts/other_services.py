"""What other services hold of a user: asked for with a service token, never through the gateway."""

import json
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import requests
from django.conf import settings

from apps.core.errors import DependencyUnavailable
from apps.core.service_calls import service_stream

# To connect; and the longest silence within the answer.
TIMEOUT_SECONDS = (2.0, 20.0)

SERVICES = ("kraken", "bot")

_ROW_BEGINS = '{"section":"'


def rows_of(service: str, *, user_id: UUID) -> Iterator[tuple[str, str]]:
    """Each row that the service holds, as JSON, with the name of its section; rows of one section follow each other. A
    section without rows has an empty one.

    Raises DependencyUnavailable where the service does not answer, or not to the end.
    """
    env = settings.ENVIRONMENT
    host, port = getattr(env, f"{service}_host"), getattr(env, f"{service}_port")
    url = f"http://{host}:{port}/internal/personal-data/{user_id}"
    try:
        with service_stream(url, audience=service, timeout=TIMEOUT_SECONDS) as lines:
            yield from _rows(lines)
    except (requests.RequestException, ValueError, KeyError) as error:
        raise DependencyUnavailable(
            f"The {service} service does not answer, so the export would not be whole. Try again later.",
            service=service,
        ) from error


def _rows(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Raises ValueError where the last line is missing or counts other rows."""
    counts: Counter[str] = Counter()
    end: dict[str, int] | None = None
    for line in lines:
        if end is not None:
            raise ValueError("rows after the end")
        if line.startswith(_ROW_BEGINS):
            section, _, row = line[len(_ROW_BEGINS) :].partition('","row":')
            counts[section] += 1
            yield section, row.removesuffix("}")
        else:
            end = json.loads(line)["end"]
    if end is None or end != {section: counts[section] for section in end} or counts.keys() - end.keys():
        raise ValueError("the answer was cut off")
    for section in end:
        if not counts[section]:
            yield section, ""
