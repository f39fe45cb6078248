"""Forms of exchange keys."""

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.console.forms.base import ApiForm

_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


class PaperKeyForm(ApiForm):
    label = forms.CharField(label=_("Name"), max_length=80, initial=_("Paper account"))


class KeyPairForm(ApiForm):
    api_key = forms.CharField(label=_("API key"), max_length=128, widget=forms.TextInput(attrs=_PLAIN))
    api_secret = forms.CharField(
        label=_("Private key"),
        max_length=200,
        widget=forms.PasswordInput(attrs=_PLAIN),
        help_text=_("Kept encrypted, and never shown again."),
    )


class LiveKeyForm(KeyPairForm):
    label = forms.CharField(label=_("Name"), max_length=80)
    field_order = ["label", "api_key", "api_secret"]


class RenameKeyForm(ApiForm):
    label = forms.CharField(label=_("Name"), max_length=80)


class DisconnectForm(ApiForm):
    abandon = forms.BooleanField(
        required=False,
        label=_("Disconnect it although bots hold coins or have orders."),
        help_text=_("Open orders are cancelled; the coins stay in your account at the exchange."),
    )
