"""Widgets of the staff site for fields that a form declares itself; django-unfold styles those of models only."""

from typing import Any, TypeVar

from django import forms
from unfold import widgets

Form = TypeVar("Form", bound=forms.BaseForm)

# By the class itself: unfold's own widgets are subclasses, and stay as they are.
_STYLED: dict[type[forms.Widget], type[Any]] = {
    forms.TextInput: widgets.UnfoldAdminTextInputWidget,
    forms.EmailInput: widgets.UnfoldAdminEmailInputWidget,
    forms.PasswordInput: widgets.UnfoldAdminPasswordWidget,
    forms.Textarea: widgets.UnfoldAdminTextareaWidget,
    forms.Select: widgets.UnfoldAdminSelectWidget,
    forms.CheckboxInput: widgets.UnfoldBooleanSwitchWidget,
    forms.RadioSelect: widgets.UnfoldAdminRadioSelectWidget,
    forms.CheckboxSelectMultiple: widgets.UnfoldAdminCheckboxSelectMultipleWidget,
}


def styled(form: type[Form]) -> type[Form]:
    """The form, its widgets exchanged in place."""
    fields: dict[str, forms.Field] = form.base_fields  # type: ignore[attr-defined]  # of its metaclass
    for field in fields.values():
        replacement = _STYLED.get(type(field.widget))
        if replacement is not None:
            field.widget = _like(field.widget, replacement)
    return form


def _like(widget: forms.Widget, replacement: type[Any]) -> forms.Widget:
    made = replacement(attrs=dict(widget.attrs))
    made.is_required = widget.is_required
    if isinstance(widget, forms.widgets.ChoiceWidget):
        made.choices = widget.choices
    result: forms.Widget = made
    return result
