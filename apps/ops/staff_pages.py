"""Every page of the staff site with the roles that may open it, for the table in docs/roles.md.

The model admins are asked themselves, for a member of staff of each role. A page that Django does not make needs a rule
of its own: `with_access` of apps/core/identity/access.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.test import RequestFactory
from django.urls import URLPattern, get_resolver

from apps.accounts.models import User
from apps.accounts.permissions import MAY_CHANGE
from apps.core.identity.access import STAFF as STAFF_RULE
from apps.core.identity.access import Access, access_of
from apps.core.markdown import markdown_table
from apps.ops.access_table import NO_RULE, URLS

SITE = "/admin/"
STAFF = tuple(MAY_CHANGE)
ANY_STAFF = "every staff role"
_NOBODY = "–"
# What Django's own site and unfold's have beside the pages of models: open to whoever may log in.
_OF_DJANGO = frozenset(
    ("index", "login", "logout", "password_change", "password_change_done", "autocomplete", "jsi18n", "view_on_site")
) | {"app_list", "search"}
_OF_A_MODEL = frozenset({"changelist", "add", "history", "delete", "change"})


@dataclass(frozen=True)
class Page:
    """The pages of a model, or one that is no model's. Each field has the roles that may."""

    path: str
    opens: str
    adds: str = _NOBODY
    changes: str = _NOBODY
    deletes: str = _NOBODY

    def as_row(self) -> tuple[str, ...]:
        return (f"`{self.path}`", self.opens, self.adds, self.changes, self.deletes)


def staff_pages() -> list[Page]:
    """The pages by path."""
    return sorted([*_of_models(), *_of_others()], key=lambda page: page.path)


def as_markdown() -> str:
    columns = ("page", "opens", "adds", "changes", "deletes")
    return markdown_table(columns, [page.as_row() for page in staff_pages()])


def _of_models() -> Iterator[Page]:
    for model, made in admin.site._registry.items():
        meta = model._meta
        path = f"{SITE}{meta.app_label}/{meta.model_name}/"
        yield Page(
            path,
            opens=_roles(made.has_view_or_change_permission),
            adds=_roles(made.has_add_permission),
            changes=_roles(made.has_change_permission),
            deletes=_roles(made.has_delete_permission),
        )
        for pattern in made.get_urls():
            # Django's last one has no name: it leads from an object's address to its page.
            action = (pattern.name or "change").removeprefix(f"{meta.app_label}_{meta.model_name}_")
            if action not in _OF_A_MODEL:
                yield Page(path + str(pattern.pattern), opens=_rule_of(pattern))


def _of_others() -> Iterator[Page]:
    """Pages beside the site's, and pages of the site that a subclass or a package adds."""
    for each in get_resolver(URLS["staff"]).url_patterns:
        path = f"/{each.pattern}"
        if isinstance(each, URLPattern) and path.startswith(SITE):
            yield Page(path, opens=_rule_of(each))
    for pattern in admin.site.get_urls():
        # Of the patterns without a name one includes a model's, and the last one says that there is no such page.
        if isinstance(pattern, URLPattern) and pattern.name and pattern.name not in _OF_DJANGO:
            yield Page(SITE + str(pattern.pattern), opens=_rule_of(pattern))


def _roles(may: Callable[[Any], bool]) -> str:
    """The roles that a permission of a model admin allows, for no object in particular."""
    allowed = []
    for role in STAFF:
        request = RequestFactory().get(SITE)
        request.user = User(roles=[str(role)], is_active=True)
        if may(request):
            allowed.append(str(role))
    return ANY_STAFF if len(allowed) == len(STAFF) else ", ".join(allowed) or _NOBODY


def _rule_of(pattern: URLPattern) -> str:
    rule: Access | None = access_of(pattern.callback, "GET")
    if rule == STAFF_RULE:
        return ANY_STAFF
    return rule.title if rule else NO_RULE
