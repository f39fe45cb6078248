"""Forms of the event browser."""

import re
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from django import forms

from apps.accounts.addresses import normalize_email
from apps.accounts.models import User
from apps.core.staff_actions import LONGEST_REASON
from apps.ops.event_browser.query import EventQuery, event_types

_TRACE = re.compile(r"[0-9a-f]{32}")
_LONGEST_TRACED = timedelta(hours=1)


def _types() -> list[tuple[str, str]]:
    return [("", "any"), *((name, name) for name in event_types())]


class SearchForm(forms.Form):
    """Every field is optional. Times without a zone are UTC."""

    type = forms.ChoiceField(required=False, choices=_types, label="Type")
    about = forms.UUIDField(required=False, label="About (id of bot, user, key …)")
    user = forms.CharField(required=False, max_length=254, label="User (id or e-mail)")
    correlation = forms.UUIDField(required=False, label="Chain (correlation id)")
    trace = forms.CharField(required=False, max_length=32, label="Trace id")
    since = forms.DateTimeField(required=False, label="Since (UTC)")
    until = forms.DateTimeField(required=False, label="Until (UTC)")

    def clean_user(self) -> UUID | None:
        given = self.cleaned_data["user"].strip()
        if not given:
            return None
        try:
            return UUID(given)
        except ValueError:
            user = User.objects.filter(email=normalize_email(given)).first()
        if user is None:
            raise forms.ValidationError("There is no such account.")
        return user.id

    def clean_trace(self) -> str:
        given: str = self.cleaned_data["trace"].strip().lower()
        if given and not _TRACE.fullmatch(given):
            raise forms.ValidationError("A trace id has 32 hexadecimal digits.")
        return given

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name in ("since", "until"):
            if cleaned.get(name) is not None:
                cleaned[name] = cleaned[name].astimezone(UTC)
        if cleaned.get("trace") and not any(cleaned.get(name) for name in ("about", "user", "correlation")):
            since, until = cleaned.get("since"), cleaned.get("until")
            if since is None or until is None or until - since > _LONGEST_TRACED:
                self.add_error("trace", "A trace id alone needs a time: since and until, at most an hour apart.")
        return cleaned

    def query(self) -> EventQuery:
        """Of a form that is valid."""
        data = self.cleaned_data
        return EventQuery(
            event_type=data["type"],
            aggregate_id=data["about"],
            user_id=data["user"],
            correlation_id=data["correlation"],
            trace_id=data["trace"],
            since=data["since"],
            until=data["until"],
        )


class ExportForm(forms.Form):
    """What is exported, a chain or what one aggregate did, and why."""

    correlation = forms.UUIDField(required=False, widget=forms.HiddenInput)
    about = forms.UUIDField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=LONGEST_REASON, label="Export because")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if bool(cleaned.get("correlation")) == bool(cleaned.get("about")):
            raise forms.ValidationError("Export a chain, or what one object did.")
        return cleaned
