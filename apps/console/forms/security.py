"""Forms of second factors and machine keys."""

from datetime import datetime, time
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.console.forms.accounts import CodeField, PasswordField
from apps.console.forms.base import ApiForm


class AuthenticatorForm(ApiForm):
    password = PasswordField()
    field_of_code = {"invalid_credentials": "password"}


class AuthenticatorCodeForm(ApiForm):
    # The set-up between its two steps, encrypted
    set_up = forms.CharField(widget=forms.HiddenInput, required=False)
    otp = CodeField(label=_("Six digits of the app"))


class DisableForm(ApiForm):
    password = PasswordField()
    otp = CodeField(takes_recovery=True, label=_("Code of your authenticator, or a recovery code"), required=False)
    field_of_code = {"invalid_credentials": "password"}


class PasskeyForm(ApiForm):
    name = forms.CharField(label=_("Name"), max_length=80, initial=_("My device"))


class MachineKeyForm(ApiForm):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What uses it, such as the name of a script."))
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        choices=[
            ("read", _("Read everything of this account")),
            ("trade:paper", _("Trade on paper: create, change, start and stop paper bots")),
            ("trade:live", _("Trade live: the same with real money")),
        ],
        initial=["read"],
        widget=forms.CheckboxSelectMultiple,
    )
    networks = forms.CharField(
        label=_("From where"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=_("Addresses or networks, such as 192.0.2.7 or 192.0.2.0/24, one a line. Empty: from everywhere."),
    )
    expires_on = forms.DateField(
        label=_("Good until"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Empty: for good."),
    )
    field_of_code = {"email_not_verified": "scopes", "mfa_required": "scopes"}

    def body(self) -> dict[str, Any]:
        given = self.cleaned_data
        day = given["expires_on"]
        ends = timezone.make_aware(datetime.combine(day, time(23, 59, 59))) if day else None
        networks = [line.strip() for line in given["networks"].replace(",", "\n").splitlines() if line.strip()]
        return {"name": given["name"], "scopes": given["scopes"], "networks": networks, "expires_at": ends}
