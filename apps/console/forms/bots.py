"""Forms of bots: what the API asks for, with the strategy's own parameters between."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.console import words
from apps.console.api_client.base import ApiRefused
from apps.console.api_client.bots import Bot
from apps.console.api_client.strategies import Strategy
from apps.console.forms.base import ApiForm
from apps.console.forms.json_schema import AmountField, WholeNumberField, fields_of
from apps.console.forms.refusals import FIELD_OF_CODE, problems_of

PARAMETERS, RISK = "parameters.", "risk."
_LIMITS = (
    ("largest_order_quote", AmountField, _("Largest purchase"), _("What one purchase may cost. Empty: no limit.")),
    (
        "largest_position_quote",
        AmountField,
        _("Largest position"),
        _("What the position may be worth. Empty: no limit."),
    ),
    ("daily_loss_fraction", AmountField, _("Loss of a day"), _("A fraction of the budget: 0.2 is a fifth.")),
    ("drawdown_fraction", AmountField, _("Drawdown"), _("Loss since the highest profit, a fraction of the budget.")),
    ("orders_per_minute", WholeNumberField, _("Purchases a minute"), ""),
    ("price_band_fraction", AmountField, _("Price band"), _("How far the price may be from the last close: 0.1.")),
    ("market_data_age_seconds", WholeNumberField, _("Age of a price"), _("In seconds.")),
)


class BotForm(ApiForm):
    """A definition. The fields of the strategy are made from its schema, so a new strategy needs no page."""

    name = forms.CharField(label=_("Name"), max_length=80, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    credential_id = forms.ChoiceField(label=_("Key"), help_text=_("It says whether the bot trades paper or live."))
    pair = forms.ChoiceField(label=_("Pair"))
    interval_minutes = forms.TypedChoiceField(
        label=_("Candles"), coerce=int, choices=list(words.INTERVALS.items()), initial=60
    )
    quote_budget = AmountField(label=_("Budget"), help_text=_("What the bot may spend, in the pair's quote asset."))
    field_of_code: ClassVar[Mapping[str, str]] = FIELD_OF_CODE

    def __init__(
        self,
        data: Any = None,
        *,
        strategy: Strategy,
        keys: Sequence[tuple[str, str]],
        pairs: Sequence[tuple[str, str]],
        bot: Bot | None = None,
        fixed: Sequence[str] = (),
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        """`bot`: the one whose values stand first. `fixed`: fields that are shown and cannot be changed."""
        super().__init__(data, initial={**_values_of(bot), **(initial or {})})
        self.fields.update(fields_of(strategy.parameters, prefix=PARAMETERS))
        for name, kind, label, help_text in _LIMITS:
            self.fields[RISK + name] = kind(label=label, help_text=help_text, required=False)
        self._choose("credential_id", keys, str(bot.credential_id) if bot else "")
        self._choose("pair", pairs, bot.pair if bot else "")
        for name in fixed:
            self.fields[name].disabled = True
        self.is_of = strategy.name

    @property
    def basics(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "credential_id", "pair", "interval_minutes", "quote_budget")]

    @property
    def of_the_strategy(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith(PARAMETERS)]

    @property
    def limits(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith(RISK)]

    @property
    def has_wrong_limit(self) -> bool:
        return any(field.errors for field in self.limits)

    def definition(self) -> dict[str, Any]:
        """The body of the API's call. An amount that was left empty is left to its default, or means no limit."""
        given = self.cleaned_data
        definition = {field.name: given[field.name] for field in self.basics if not field.field.disabled}
        parameters = {name.removeprefix(PARAMETERS): given[name] for name in given if name.startswith(PARAMETERS)}
        risk = {name.removeprefix(RISK): given[name] for name in given if name.startswith(RISK)}
        return {
            **definition,
            "strategy": self.is_of,
            "parameters": {name: value for name, value in parameters.items() if value not in (None, "")},
            "risk": {
                name: value or None
                for name, value in risk.items()
                if value not in (None, "") or name in ("largest_order_quote", "largest_position_quote")
            },
        }

    def take(self, refused: ApiRefused) -> bool:
        """At the fields of nested objects, too."""
        problems = problems_of(refused.code, refused.message, refused.details)
        known = {name: texts for name, texts in problems.items() if name in self.fields}
        if not known:
            return super().take(refused)
        for name, texts in problems.items():
            for text in texts:
                self.add_error(name if name in known else None, text if name in known else f"{name}: {text}")
        return True

    def _choose(self, name: str, choices: Sequence[tuple[str, str]], current: str) -> None:
        """With the current value among the choices, also where it is not offered any more."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        offered = {value for value, _label in choices}
        field.choices = [*choices, *([(current, current)] if current and current not in offered else [])]


def _values_of(bot: Bot | None) -> dict[str, Any]:
    if bot is None:
        return {}
    own = {name: getattr(bot, name) for name in ("name", "pair", "interval_minutes", "quote_budget")}
    return {
        **own,
        "credential_id": str(bot.credential_id),
        **{PARAMETERS + name: value for name, value in bot.parameters.items()},
        **{RISK + name: value for name, value in bot.risk.items()},
    }


class TradeNowForm(ApiForm):
    side = forms.ChoiceField(
        label=_("Side"),
        required=False,
        choices=[("", _("As the strategy decides")), *words.SIDES.items()],
    )
    quote_amount = AmountField(label=_("Amount"), required=False, help_text=_("Empty: all there is."))
    field_of_code: ClassVar[Mapping[str, str]] = FIELD_OF_CODE

    def body(self) -> dict[str, Any]:
        return {name: value for name, value in self.values("side", "quote_amount").items() if value}
