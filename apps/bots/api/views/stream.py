"""The stream of what happens to a user's bots. Only the process `stream` keeps it open."""

import re
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.stream_opening import LONGEST, MEDIA_TYPE, Opening, still_allowed
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import TraderView
from apps.core.errors import DependencyUnavailable
from apps.core.identity.principal import MachineKeyPrincipal, principal_of

# Of ours; whatever else a client remembers is answered as too old.
_ID = re.compile(r"[0-9]{1,18}")

LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `id` of the last event that was received: the stream goes on after it. Browsers send it by "
    "themselves when they connect again. Left out, the stream begins now.",
)
EXAMPLE = """\
retry: 1000

id: 1772366400000017
event: ready
data: {}

id: 1772366460000001
event: trade
data: {"trade_id": "…", "bot_id": "…", "side": "buy", "price": "10000", "volume": "0.01", …}

: heartbeat
event: ping
data: {}

"""
STREAM = OpenApiResponse(
    OpenApiTypes.STR,
    description="Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).",
    examples=[OpenApiExample("stream", value=EXAMPLE)],
)


class EventStreamRenderer(BaseRenderer):
    """Lets callers accept the stream, which no renderer makes."""

    media_type = MEDIA_TYPE
    format = "events"


@extend_schema(tags=["Bot status"])
class BotStreamView(TraderView):
    renderer_classes = (JSONRenderer, EventStreamRenderer)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """What is rendered are refusals, as JSON whatever the caller accepts."""
        super().perform_content_negotiation(request, force)
        return JSONRenderer(), JSONRenderer.media_type

    @operation(
        parameters=[LAST_EVENT_ID],
        responses={200: STREAM, **error_responses(401, 403, 429, 503)},
        media_type=EventStreamRenderer.media_type,
    )
    def get(self, request: Request) -> Response:
        """What happens to the caller's bots, as it happens: server-sent events.

        The name of an event says what its `data` is, as the read of the same thing shows it: `status` (of a bot, as
        `GET /bot/{id}/status`), `order` (as in `GET /trading/orders`), `trade` (`GET /bot/{id}/trades`), `alert`
        (`GET /bot/alerts`), `receipt` (`GET /bot/{id}/commands/{command_id}`). Trades and alerts come one by one. A
        status, order or receipt is shown as it is by then: states in between may be left out.

        `ready` says that all events up to its id have been told: load what you show after the first one. `reset` says
        that the stream cannot resume from the id that was sent, which is older than an hour or not of this platform:
        load anew. `ping` comes with a comment after 15 silent seconds.

        The server ends a stream with the access token, one of a machine key after an hour, one whose session or key
        ended within 60 s, and one whose client does not read. Connect again, with `Last-Event-ID`: nothing is lost and
        nothing is told twice. 429 `too_many_streams` for more than a user may have at once.
        """
        check_room: Callable[[UUID], None] | None = getattr(request._request, "check_stream_room", None)
        if check_room is None:
            raise DependencyUnavailable("This process has no streams: the gateway leads to the one that has.")
        caller = principal_of(request)
        check_room(caller.user_id)
        last_id = request.headers.get("Last-Event-ID")
        response = Response(
            content_type=EventStreamRenderer.media_type,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        now = timezone.now()
        response.stream_opening = Opening(  # type: ignore[attr-defined]
            user_id=caller.user_id,
            ends_at=_ends_at(caller, now),
            last_id=None if last_id is None else int(last_id) if _ID.fullmatch(last_id) else 0,
            may_go_on=still_allowed(caller),
        )
        return response


def _ends_at(caller: object, now: datetime) -> float:
    """Seconds since the epoch."""
    longest = now.timestamp() + LONGEST.total_seconds()
    if isinstance(caller, MachineKeyPrincipal):
        return longest
    return min(float(caller.token.get("exp", longest)), longest)  # type: ignore[attr-defined]
