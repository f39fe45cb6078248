"""Forms that the API checks. Here they only say which fields there are and how they look."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import uuid4

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _

from apps.console.api_client.base import ApiRefused, SessionEnded
from apps.console.texts import sentence_for

# Refusals that lead somewhere else than back to the form
_NOT_OF_THE_FORM = frozenset({"step_up_required", "not_found"})

# What is about the same field on every form that has it
_USUAL_FIELDS = {"otp_invalid": "otp", "otp_wrong": "otp", "password_wrong": "password"}


class ApiForm(forms.Form):
    """A form whose sending does one thing once: its hidden key goes to the API as Idempotency-Key.

    `field_of_code`: at which field a refusal is shown that names none.
    """

    idempotency_key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)
    field_of_code: ClassVar[Mapping[str, str]] = {}
    template_name = "console/includes/form.html"
    # Where one field stands for several ways, "optional" would say the wrong thing.
    is_plain: ClassVar[bool] = False

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, label_suffix="", **options)
        self.fields["idempotency_key"].initial = uuid4().hex

    @property
    def key(self) -> str:
        return str(self.cleaned_data.get("idempotency_key") or uuid4().hex)

    def values(self, *names: str) -> dict[str, Any]:
        """The cleaned values of these fields, for a body."""
        return {name: self.cleaned_data[name] for name in names}

    def take(self, refused: ApiRefused) -> bool:
        """Shows the refusal at its fields, or above the form. False for one that is not about what was typed."""
        if isinstance(refused, SessionEnded) or refused.code in _NOT_OF_THE_FORM or refused.needs_step_up:
            return False
        is_shown = False
        for name, sentences in refused.fields.items():
            for sentence in sentences:
                known = name in self.fields
                self.add_error(name if known else None, sentence if known else f"{name}: {sentence}")
                is_shown = True
        if not is_shown:
            field = (_USUAL_FIELDS | dict(self.field_of_code)).get(refused.code)
            self.add_error(field if field in self.fields else None, sentence_for(refused))
        return True

    def with_new_key(self) -> "ApiForm":
        """What was refused is another request once it is corrected."""
        if self.is_bound:
            data = QueryDict(mutable=True)
            data.update(self.data)
            data[self.add_prefix("idempotency_key")] = uuid4().hex
            self.data = data
        return self

    def summary(self) -> str:
        """For screen readers, and above long forms."""
        wrong = len([name for name in self.errors if name != "__all__"])
        return _("%(count)s fields need your attention.") % {"count": wrong} if wrong > 1 else ""
