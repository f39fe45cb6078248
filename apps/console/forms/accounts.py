"""Forms of the account's pages."""

import zoneinfo
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.console.forms.base import ApiForm


class EmailField(forms.CharField):
    """The API says what an address is; the browser helps to type one."""

    def __init__(self, **options: Any) -> None:
        attributes = {"autocomplete": "username", "inputmode": "email", "autocapitalize": "none", "spellcheck": "false"}
        options.setdefault("label", _("E-mail address"))
        super().__init__(widget=forms.TextInput(attrs={**attributes, "type": "email"}), max_length=254, **options)


class PasswordField(forms.CharField):
    def __init__(self, *, is_new: bool = False, **options: Any) -> None:
        autocomplete = "new-password" if is_new else "current-password"
        options.setdefault("label", _("Password"))
        widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
        super().__init__(widget=widget, strip=False, max_length=256, **options)


class CodeField(forms.CharField):
    """Six digits of an authenticator, or a recovery code where the API takes one."""

    def __init__(self, *, takes_recovery: bool = False, **options: Any) -> None:
        attributes = {"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"}
        if not takes_recovery:
            attributes["inputmode"] = "numeric"
        super().__init__(widget=forms.TextInput(attrs=attributes), max_length=24, **options)


class LogInForm(ApiForm):
    email = EmailField()
    password = PasswordField(required=False)
    # Shown once the password was right
    otp = CodeField(
        takes_recovery=True,
        required=False,
        label=_("Code of your authenticator"),
        help_text=_("Or one of your recovery codes."),
    )
    # The password between the two steps, encrypted
    first_step = forms.CharField(widget=forms.HiddenInput, required=False)
    held = forms.CharField(widget=forms.HiddenInput, required=False)
    next = forms.CharField(widget=forms.HiddenInput, required=False)
    field_of_code = {"otp_required": "otp"}


class RegisterForm(ApiForm):
    name = forms.CharField(
        label=_("Name"), max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    email = EmailField()
    password = PasswordField(is_new=True, help_text=_("At least 12 characters. A sentence is easy to keep in mind."))
    field_of_code = {"password_too_weak": "password"}


class ForgotForm(ApiForm):
    email = EmailField()


class MailedCodeForm(ApiForm):
    """With the code of a mail, which its link brings along."""

    token = forms.CharField(
        label=_("Code from the mail"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    field_of_code = {"token_invalid": "token", "password_too_weak": "password", "invalid_credentials": "password"}


class VerifyForm(MailedCodeForm):
    password = PasswordField(
        required=False,
        help_text=_(
            "The one that you registered with. Leave it empty only if somebody else registered your address: you then "
            "get a new, empty account."
        ),
    )


class ResetForm(MailedCodeForm):
    password = PasswordField(is_new=True, label=_("New password"), help_text=_("At least 12 characters."))


class EmailForm(ApiForm):
    email = EmailField(label=_("New e-mail address"))
    password = PasswordField(required=False)
    field_of_code = {"password_wrong": "password"}


class PasswordForm(ApiForm):
    current_password = PasswordField(label=_("Current password"))
    new_password = PasswordField(is_new=True, label=_("New password"), help_text=_("At least 12 characters."))
    field_of_code = {"password_wrong": "current_password", "password_too_weak": "new_password"}


class ConfirmForm(ApiForm):
    """A button, and nothing to type."""


class CloseForm(ApiForm):
    understood = forms.BooleanField(label=_("Close my account for good. This cannot be taken back."))
    abandon = forms.BooleanField(
        required=False,
        label=_("Close it although bots hold coins or have orders."),
        help_text=_("Open orders are cancelled; the coins stay in your account at the exchange."),
    )


class StepUpForm(ApiForm):
    is_plain = True
    otp = CodeField(label=_("Code of your authenticator"), required=False)
    password = PasswordField(required=False)
    held = forms.CharField(widget=forms.HiddenInput, required=False)
    next = forms.CharField(widget=forms.HiddenInput, required=False)

    def suit(self, *, has_second_factor: bool) -> "StepUpForm":
        """The field that this account's proof needs, and not the other one."""
        self.fields.pop("password" if has_second_factor else "otp")
        return self


class ProfileForm(ApiForm):
    name = forms.CharField(
        label=_("Name"), max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    time_zone = forms.CharField(
        label=_("Time zone"),
        max_length=64,
        help_text=_("Every time is shown in this zone."),
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off", "spellcheck": "false"}),
    )

    @staticmethod
    def zones() -> list[str]:
        return sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
