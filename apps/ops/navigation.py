"""The side bar of the staff site: pages by domain, those that the member of staff may see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse


@dataclass(frozen=True)
class Page:
    """`target` is a model such as bots.bot, or the path of a page that is no model's, which `allowed` guards."""

    target: str
    icon: str
    title: str = ""
    allowed: Callable[[HttpRequest], bool] = lambda _: True


SECTIONS: tuple[tuple[str, tuple[Page, ...]], ...] = (
    (
        "Operations",
        (
            Page("/admin/dashboard/", "dashboard", "Dashboard"),
            Page("/admin/event-browser/", "account_tree", "Event browser"),
            Page("accounts.securitynotice", "shield"),
        ),
    ),
    (
        "People",
        (
            Page("accounts.user", "person"),
            Page("accounts.usersession", "devices"),
            Page("onboarding.onboarding", "checklist"),
            Page("core.machinekey", "vpn_key"),
            Page("accounts.passkey", "fingerprint"),
            Page("accounts.mfaremoval", "lock_reset"),
            Page("accounts.lockoutcounter", "lock_clock"),
            Page("accounts.outgoingmail", "mail"),
            Page("accounts.accountclosure", "person_off"),
        ),
    ),
    (
        "Bots",
        (
            Page("bots.bot", "smart_toy"),
            Page("bots.botstatus", "monitor_heart"),
            Page("bots.botcommand", "terminal"),
            Page("trading.botrun", "play_circle"),
            Page("bots.runevent", "history"),
            Page("bots.alert", "notifications"),
            Page("risk.botswitch", "toggle_on"),
        ),
    ),
    (
        "Orders and money",
        (
            Page("trading.ordertoresolve", "help"),
            Page("trading.orderintent", "receipt_long"),
            Page("trading.orderresolution", "gavel"),
            Page("trading.fill", "done_all"),
            Page("trading.ledgerentry", "account_balance"),
            Page("trading.position", "stacked_bar_chart"),
            Page("trading.release", "output"),
            Page("trading.dueexit", "logout"),
        ),
    ),
    (
        "Risk",
        (
            Page("risk.liveswitch", "power_settings_new"),
            Page("risk.halt", "front_hand"),
            Page("risk.account", "balance"),
            Page("trading.balanceacceptance", "fact_check"),
            Page("risk.cap", "vertical_align_top"),
            Page("vault.credential", "key"),
        ),
    ),
    (
        "What users see",
        (
            Page("bots.botorder", "list_alt"),
            Page("bots.orderstep", "footprint"),
            Page("bots.bottrade", "swap_horiz"),
            Page("bots.accounttrade", "swap_vert"),
            Page("bots.positionrelease", "outbound"),
            Page("bots.usertrading", "bar_chart"),
        ),
    ),
    (
        "Messages",
        (
            Page("events.storedevent", "event_note"),
            Page("events.outboxrow", "outbox"),
            Page("events.parkedkey", "local_parking"),
            Page("events.deadletter", "report"),
            Page("events.commandexecution", "rule"),
        ),
    ),
    (
        "Audit",
        (
            Page("audit.signedcheckpoint", "verified"),
            Page("audit.archivedpartition", "inventory_2"),
            Page("admin.logentry", "manage_history"),
        ),
    ),
    (
        "Exchange and processes",
        (
            Page("events.processheartbeat", "memory"),
            Page("events.lease", "lock"),
            Page("market.marketinstrument", "currency_exchange"),
            Page("exchange.exchangebudget", "speed"),
            Page("exchange.exchangenonce", "tag"),
        ),
    ),
    (
        "Paper exchange",
        (
            Page("paper.market", "storefront"),
            Page("paper.account", "badge"),
            Page("paper.wallet", "wallet"),
            Page("paper.order", "receipt"),
            Page("paper.trade", "sync_alt"),
            Page("paper.ledgerentry", "menu_book"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """In the form of django-unfold's SIDEBAR.navigation. A section without a page that may be seen is left out."""
    sections = (
        {"title": title, "collapsible": True, "items": list(_items(request, pages))} for title, pages in SECTIONS
    )
    return [section for section in sections if section["items"]]


def _items(request: HttpRequest, pages: tuple[Page, ...]) -> Iterator[dict[str, Any]]:
    by_label = {model._meta.label_lower: made for model, made in admin.site._registry.items()}
    for page in pages:
        if page.target.startswith("/"):
            if page.allowed(request):
                yield {"title": page.title, "icon": page.icon, "link": page.target}
            continue
        made = by_label.get(page.target)
        if made is not None and made.has_view_or_change_permission(request):
            names = made.opts.verbose_name_plural
            title = page.title or f"{str(names)[:1].upper()}{str(names)[1:]}"
            link = reverse(f"admin:{made.opts.app_label}_{made.opts.model_name}_changelist")
            yield {"title": title, "icon": page.icon, "link": link}
