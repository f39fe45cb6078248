"""Exchange accounts on the staff site: what is whose, the last comparison, and a form to accept what differs.

The staff site has no keys, so the reconciler asks the exchange and carries the entry out; the page shows the result.
"""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.money import plain
from apps.core.staff.references import Related
from apps.risk.models.accounts import Account, Allocation
from apps.risk.selectors import allocated
from apps.trading.entries_admin import StaffEntryForm, TakesEntries
from apps.trading.models.acceptances import BalanceAcceptance
from apps.trading.models.staff_entries import StaffEntry
from apps.trading.services.orders.account_doubts import waiting_for_a_person
from apps.trading.services.orders.balance_acceptance import acceptance_request
from apps.trading.services.orders.staff_entries import Operator

ACCEPT, TAKE_BACK = "accept", "take_back"
# Of movements and entries, the latest first.
SHOWN_AT_MOST = 20


class EntryForm(StaffEntryForm):
    entry = forms.ChoiceField(
        choices=[
            (ACCEPT, "Accept the exchange's balances where a difference is told"),
            (TAKE_BACK, "Take back what another person accepted last"),
        ],
        widget=forms.RadioSelect,
    )
    because = forms.CharField(max_length=400, label="What was looked at", widget=forms.Textarea(attrs={"rows": 2}))


@admin.register(Account)
class AccountAdmin(TakesEntries):
    """What of an exchange account belongs to which bot, and whether the exchange shows as much."""

    form = EntryForm
    list_display = ("credential_id", "user_id", "differing_assets", "compared_at", "compare_at")
    search_fields = ("=credential_id", "=user_id")
    ordering = ("-compared_at",)
    related = (Related("Key", "vault.credential"), Related("Runs", "trading.botrun"), Related("Halts", "risk.halt"))
    shown = ("credential_id", "user_id", "compared_at", "compare_at", "balances", "allocations", "unclear_orders",
             "movements", "entries", "see_also")  # fmt: skip
    heading, asked = "Balances that differ", ("entry", "because")
    entered = "Entered. The exchange is being asked; the result appears under Entries."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        differing = Count("assets", filter=Q(assets__drift_since__isnull=False))
        accounts: QuerySet[Account] = super().get_queryset(request)
        return accounts.annotate(differing=differing)

    def enter(self, obj: Any, data: dict[str, Any], operator: Operator) -> None:
        acceptance_request(
            credential_id=obj.credential_id,
            operator=operator,
            because=data["because"],
            takes_back=data["entry"] == TAKE_BACK,
            now=timezone.now(),
        )

    @admin.display(description="assets that differ", ordering="differing")
    def differing_assets(self, account: Any) -> int:
        return int(account.differing)

    @admin.display(description="balances")
    def balances(self, account: Account) -> SafeString:
        head = ("asset", "must be there", "of bots", "unallocated", "dust", "exchange showed", "difference since")
        rows = []
        for row in account.assets.order_by("asset"):
            of_bots = allocated(account.credential_id, row.asset)
            shown = row.drift_found if row.drift_since else row.booked + (row.suspected or 0)
            since = f"{row.drift_since:%Y-%m-%d %H:%M:%S} UTC" if row.drift_since else ""
            if not since and row.suspected_at:
                since = f"suspected {row.suspected_at:%Y-%m-%d %H:%M:%S} UTC"
            amounts = [plain(each) for each in (row.booked, of_bots, row.booked - of_bots, row.dust, shown)]
            rows.append((row.asset, *amounts, since))
        return _table(head, rows)

    @admin.display(description="allocations")
    def allocations(self, account: Account) -> SafeString:
        head = ("bot", "pair", "budget", "cash", "coins")
        found = Allocation.objects.filter(account=account).order_by("bot_id")
        return _table(
            head,
            [
                (
                    str(each.bot_id),
                    each.pair,
                    "" if each.quote_budget is None else f"{plain(each.quote_budget)} {each.quote_asset}",
                    f"{plain(each.quote_amount)} {each.quote_asset}",
                    f"{plain(each.base_amount)} {each.base_asset}",
                )
                for each in found
            ],
        )

    @admin.display(description="orders that need a person")
    def unclear_orders(self, account: Account) -> str:
        return ", ".join(waiting_for_a_person(account.credential_id).values_list("cl_ord_id", flat=True)) or "None."

    @admin.display(description="movements")
    def movements(self, account: Account) -> SafeString:
        head = ("at", "kind", "amount", "asset", "because")
        found = account.movements.order_by("-moved_at")[:SHOWN_AT_MOST]
        return _table(
            head,
            [
                (f"{each.moved_at:%Y-%m-%d %H:%M:%S}", each.kind, plain(each.amount), each.asset, each.because)
                for each in found
            ],
        )

    def entries_with_results(self, obj: Any) -> Iterator[tuple[StaffEntry, str]]:
        found = BalanceAcceptance.objects.filter(credential_id=obj.credential_id).order_by("-requested_at")
        for each in found[:SHOWN_AT_MOST]:
            yield each, f"{each.state}{f' ({each.code})' if each.code else ''}: {each.message}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> SafeString:
    if not rows:
        return format_html("{}", "None.")
    cells = format_html_join("", "<th>{}</th>", ((each,) for each in head))
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", cells, body)
