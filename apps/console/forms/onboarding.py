"""Forms of the five steps to the first bot."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.console.countries import COUNTRIES
from apps.console.forms.base import ApiForm


class StepForm(ApiForm):
    def answer(self) -> dict[str, Any]:
        """The body of the step's call."""
        return {name: value for name, value in self.cleaned_data.items() if name != "idempotency_key"}


class ProfileStepForm(StepForm):
    country = forms.ChoiceField(label=_("Country of residence"), choices=[("", "–"), *COUNTRIES])
    experience = forms.ChoiceField(
        label=_("Experience with trading"),
        choices=[("none", _("None")), ("some", _("Some")), ("much", _("Much"))],
        widget=forms.RadioSelect,
        initial="none",
    )
    is_adult = forms.BooleanField(label=_("I am of age."))


class TermsStepForm(StepForm):
    version = forms.CharField(widget=forms.HiddenInput)
    accepted = forms.BooleanField(label=_("I have read the terms and accept them."))


class RiskStepForm(StepForm):
    acceptable_loss_percent = forms.IntegerField(
        label=_("How much may be lost in a year?"),
        min_value=0,
        max_value=100,
        initial=20,
        help_text=_("Percent of the money."),
    )
    horizon = forms.ChoiceField(
        label=_("How long can the money stay?"),
        choices=[("weeks", _("Weeks")), ("months", _("Months")), ("years", _("Years"))],
        widget=forms.RadioSelect,
        initial="months",
    )
    reaction = forms.ChoiceField(
        label=_("The price falls by a fifth in a week. What do you do?"),
        choices=[("sell", _("Sell")), ("hold", _("Wait")), ("buy", _("Buy more"))],
        widget=forms.RadioSelect,
        initial="hold",
    )


class ExchangeKeyStepForm(StepForm):
    credential_id = forms.CharField(label=_("Account"), widget=forms.RadioSelect)


class FirstBotStepForm(StepForm):
    bot_id = forms.CharField(label=_("Bot"), widget=forms.RadioSelect)
