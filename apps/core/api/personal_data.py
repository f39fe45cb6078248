"""What a service holds of a user, for the user service alone. The gateway does not route it.

The answer is JSON lines: `{"section": …, "row": …}`, and last `{"end": {section: number of rows}}`. Without that last
line the answer was cut off.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from apps.core.api.service_callers import ServiceView
from apps.core.personal_data import Row, personal_data_of


@extend_schema(exclude=True)
class PersonalDataView(ServiceView):
    """`audience` is given by the service's URLs."""

    audience = ""
    callers: ClassVar[frozenset[str]] = frozenset({"user"})

    def get(self, request: Request, user_id: UUID) -> StreamingHttpResponse:
        """Streams every row."""
        return StreamingHttpResponse(_lines(self.audience, user_id), content_type="application/x-ndjson")


class _Encoder(JSONEncoder):
    """DRF's, with amounts as text: it would make floats of them."""

    def default(self, obj: Any) -> Any:
        return format(obj, "f") if isinstance(obj, Decimal) else super().default(obj)


def row_json(row: Row) -> str:
    """Times in ISO 8601 UTC, amounts as strings."""
    return json.dumps(row, cls=_Encoder, ensure_ascii=False, separators=(",", ":"))


def _lines(service: str, user_id: UUID) -> Iterator[str]:
    counts: dict[str, int] = {}
    waiting: list[str] = []
    for section, rows in personal_data_of(service, user_id):
        counts[section] = 0
        for row in rows:
            counts[section] += 1
            waiting.append(f'{{"section":"{section}","row":{row_json(row)}}}\n')
            if len(waiting) == 200:
                yield "".join(waiting)
                waiting.clear()
    yield "".join(waiting) + json.dumps({"end": counts}) + "\n"
