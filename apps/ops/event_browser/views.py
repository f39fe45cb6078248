"""Pages of the event browser: every member of staff may read, and nobody changes anything."""

import json
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from apps.core.errors import PlatformError
from apps.core.identity.access import STAFF, with_access
from apps.events.models import StoredEvent
from apps.ops.event_browser.chain import as_svg, chain_of
from apps.ops.event_browser.export import events_export
from apps.ops.event_browser.forms import ExportForm, SearchForm
from apps.ops.event_browser.proof import event_proof
from apps.ops.event_browser.query import EventPage, Place, event_page, story_rows
from apps.ops.event_browser.replay import (
    MOST_WITH_STATES,
    PAGE_EVENTS,
    payload_text,
    steps_of,
    steps_with_states,
)


def _page(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    shared = {**admin.site.each_context(request), "title": title}
    return TemplateResponse(request, f"ops/{template}.html", shared | context)


@require_GET
def _search(request: HttpRequest) -> HttpResponse:
    form = SearchForm(request.GET)
    place = _place(request)
    page = event_page(form.query(), after=place) if form.is_valid() else EventPage()
    older = ""
    if page.next_place is not None:
        given = {name: value for name, value in request.GET.items() if value and not name.startswith("after_")}
        after = {"after_at": page.next_place.recorded_at.isoformat(), "after_id": str(page.next_place.event_id)}
        older = urlencode(given | after)
    return _page(request, "events", "Events", form=form, lines=page.lines, older=older, is_first=place is None)


def _place(request: HttpRequest) -> Place | None:
    """Where the page begins. What is no place, as after an edit of the address, is the beginning."""
    try:
        at, event_id = parse_datetime(request.GET["after_at"]), UUID(request.GET["after_id"])
    except (KeyError, ValueError):
        return None
    return Place(at, event_id) if at is not None and at.tzinfo is not None else None


@require_GET
def _event(request: HttpRequest, event_id: UUID) -> HttpResponse:
    event = StoredEvent.objects.filter(pk=event_id).first()
    if event is None:
        raise Http404
    return _page(
        request,
        "event",
        event.event_type,
        event=event,
        payload=payload_text(event),
        actor=json.dumps(json.loads(event.actor), indent=2) if event.actor else "",
        sha256=bytes(event.hash).hex(),
        proof=event_proof(event),
    )


@require_GET
def _chain(request: HttpRequest, correlation_id: UUID) -> HttpResponse:
    chain = chain_of(correlation_id)
    if not chain.nodes:
        raise Http404
    here = request.GET.get("event", "")
    marked = next((node.line.event_id for node in chain.nodes if str(node.line.event_id) == here), None)
    return _page(
        request,
        "chain",
        "Causal chain",
        chain=chain,
        # Made of escaped texts, numbers and reversed addresses alone.
        svg=mark_safe(as_svg(chain, here=marked)),  # noqa: S308  # nosec B308 B703
        export=ExportForm(initial={"correlation": correlation_id}),
    )


@require_GET
def _replay(request: HttpRequest) -> HttpResponse:
    """`correlation` or `about`, `from` the number of events that are left out, `states=1`."""
    correlation, about = _id(request, "correlation"), _id(request, "about")
    if (correlation is None) == (about is None):
        raise Http404
    rows = story_rows(correlation_id=correlation, aggregate_id=about)
    begins = request.GET.get("from", "0")
    first = int(begins) if begins.isascii() and begins.isdigit() and len(begins) < 7 else 0
    has_states, why_not = request.GET.get("states") == "1", ""
    if has_states:
        events = list(rows[: MOST_WITH_STATES + 1])
        if len(events) > MOST_WITH_STATES:
            has_states, why_not = False, f"States are shown for stories of at most {MOST_WITH_STATES} events."
    if has_states:
        steps, why_not = steps_with_states(events)
        shown, has_more = steps, False
    else:
        events = list(rows[first : first + PAGE_EVENTS + 1])
        shown, has_more = steps_of(events[:PAGE_EVENTS]), len(events) > PAGE_EVENTS
    if not shown and not first:
        raise Http404
    which = {"correlation": str(correlation)} if correlation else {"about": str(about)}
    return _page(
        request,
        "replay",
        "Replay",
        steps=shown,
        why_not=why_not,
        has_states=has_states and not why_not,
        which=which,
        first=first,
        older=urlencode(which | {"from": first + PAGE_EVENTS}) if has_more else "",
        with_states=urlencode(which | {"states": 1}),
        export=ExportForm(initial=which),
    )


def _id(request: HttpRequest, name: str) -> UUID | None:
    given = request.GET.get(name)
    if not given:
        return None
    try:
        return UUID(given)
    except ValueError:
        raise Http404 from None


@require_http_methods(["GET", "POST"])
def _export(request: HttpRequest) -> HttpResponse:
    """A file to download, or the form with what is wrong."""
    form = ExportForm(request.POST if request.method == "POST" else None, initial=request.GET)
    if form.is_valid():
        data, now = form.cleaned_data, timezone.now()
        try:
            exported = events_export(
                request,
                correlation_id=data["correlation"],
                aggregate_id=data["about"],
                because=data["reason"],
                now=now,
            )
        except PlatformError as error:
            form.add_error(None, error.message)
        else:
            answer = HttpResponse(exported.content, content_type="application/jsonl")
            answer["Content-Disposition"] = f'attachment; filename="events-{exported.export_id}.jsonl"'
            return answer
    return _page(request, "export", "Export", export=form)


def _for_staff(view: Any) -> Any:
    return with_access(STAFF)(never_cache(admin.site.admin_view(view)))


event_search = _for_staff(_search)
event_one = _for_staff(_event)
event_chain = _for_staff(_chain)
event_replay = _for_staff(_replay)
event_export = _for_staff(_export)
