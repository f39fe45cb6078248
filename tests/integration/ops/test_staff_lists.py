"""Lists of the staff site: pages by key, counts, searches, people by address, links from one object to the next."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.ids import new_id
from apps.core.staff import large_lists
from apps.core.staff.large_lists import LargeTable, row_count
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from apps.ops.navigation import SECTIONS
from tests.factories.accounts import UserFactory, make_user
from tests.factories.bots import BotFactory

pytestmark = pytest.mark.django_db

BOTS, EVENTS, USERS = "/admin/bots/bot/", "/admin/events/storedevent/", "/admin/accounts/user/"
LARGE = [page for page in admin.site._registry.values() if isinstance(page, LargeTable)]


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(UserFactory.create(email="staff@example.com", roles=["auditor"]))
    return client


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LargeTable, "list_per_page", 3)


def _names(page: str) -> list[str]:
    return re.findall(r">(Bot \d+)<", page)


def _link(page: str, rel: str) -> str | None:
    found = re.search(rf'href="([^"]+)" rel="{rel}"', page)
    return found[1].replace("&amp;", "&") if found else None


@pytest.mark.usefixtures("small_pages")
def test_pages_follow_each_other_by_key_both_ways(staff: Client) -> None:
    for number in range(7):
        BotFactory.create(name=f"Bot {number}")

    seen, address = [], BOTS
    while address:
        page = staff.get(address).content.decode()
        seen.append(_names(page))
        following = _link(page, "next")
        address = BOTS + following if following else ""
    assert seen == [["Bot 6", "Bot 5", "Bot 4"], ["Bot 3", "Bot 2", "Bot 1"], ["Bot 0"]]

    back = staff.get(BOTS + str(_link(page, "prev"))).content.decode()
    assert _names(back) == seen[1]
    first = staff.get(BOTS + str(_link(back, "prev"))).content.decode()
    assert _names(first) == seen[0]
    assert _link(first, "prev") is None


@pytest.mark.usefixtures("small_pages")
def test_a_row_that_comes_meanwhile_moves_no_row_to_another_page(staff: Client) -> None:
    for number in range(6):
        BotFactory.create(name=f"Bot {number}")
    first = staff.get(BOTS).content.decode()
    BotFactory.create(name="Bot 9")

    second = staff.get(BOTS + str(_link(first, "next"))).content.decode()

    assert _names(second) == ["Bot 2", "Bot 1", "Bot 0"]


@pytest.mark.usefixtures("small_pages")
def test_a_filter_with_an_index_of_its_own_pages_by_that(staff: Client) -> None:
    user = make_user()
    for _ in range(5):
        publish(UserUpdated(user_id=user.id, changed=("name",)), now=timezone.now())
    address = f"{EVENTS}?event_type=user.updated"

    with CaptureQueriesContext(connection) as captured:
        first = staff.get(address).content.decode()
    asked = [each["sql"] for each in captured]
    second = staff.get(EVENTS + str(_link(first, "next"))).content.decode()

    assert any('ORDER BY "event"."recorded_at" DESC, "event"."event_id" DESC' in each for each in asked)
    assert first.count(">user.updated<") + second.count(">user.updated<") >= 5
    assert "_after" in str(_link(first, "next"))


@pytest.mark.parametrize("key", ["nonsense", "1~2", str(uuid4()) + "~x"])
def test_a_key_that_is_none_leads_to_the_list(staff: Client, key: str) -> None:
    answer = staff.get(BOTS, {"_after": key})
    assert (answer.status_code, answer["Location"]) == (302, f"{BOTS}?e=1")


def test_a_count_is_exact_to_its_bound_and_estimated_above(monkeypatch: pytest.MonkeyPatch, staff: Client) -> None:
    for _ in range(4):
        BotFactory.create()
    bots = admin.site._registry[next(m for m in admin.site._registry if m._meta.label == "bots.Bot")].model.objects
    assert (row_count(bots.all()).rows, row_count(bots.all()).is_exact) == (4, True)

    monkeypatch.setattr(large_lists, "EXACT_UP_TO", 2)
    count = row_count(bots.all())
    assert count.rows >= 3
    assert not count.is_exact
    assert not row_count(bots.filter(mode="paper")).is_exact
    assert "about 3" in staff.get(BOTS).content.decode()


def test_people_are_shown_by_their_address_by_one_query_for_the_page(staff: Client) -> None:
    owner = make_user(email="ada@example.com")
    BotFactory.create(user_id=owner.id)
    one = _queries(staff, BOTS)
    for _ in range(5):
        BotFactory.create(user_id=make_user().id)

    page = staff.get(BOTS).content.decode()

    assert "ada@example.com" in page
    assert f"/admin/accounts/user/{owner.id}/change/" in page
    assert _queries(staff, BOTS) == one


def _queries(staff: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        staff.get(address)
    return len(asked)


def test_a_person_without_an_account_is_shown_by_the_id(staff: Client) -> None:
    bot = BotFactory.create(user_id=new_id())
    assert str(bot.user_id) in staff.get(BOTS).content.decode()


def test_an_address_finds_the_rows_of_its_owner(staff: Client) -> None:
    owner = make_user(email="ada@example.com")
    BotFactory.create(name="Bot 1", user_id=owner.id)
    BotFactory.create(name="Bot 2", user_id=make_user().id)

    assert _names(staff.get(BOTS, {"q": "Ada@Example.com"}).content.decode()) == ["Bot 1"]
    assert _names(staff.get(BOTS, {"q": "nobody@example.com"}).content.decode()) == []
    assert _names(staff.get(BOTS, {"q": "Bot 1"}).content.decode()) == []


@pytest.mark.parametrize("field", ["event_id", "correlation_id", "aggregate_id", "user_id"])
def test_events_are_found_by_each_of_their_ids(staff: Client, field: str) -> None:
    user = make_user()
    event_id = publish(UserUpdated(user_id=user.id, changed=("name",)), now=timezone.now())
    event = StoredEvent.objects.get(event_id=event_id)

    page = staff.get(EVENTS, {"q": str(getattr(event, field))}).content.decode()

    assert f"/admin/events/storedevent/{event_id}/change/" in page


def test_an_object_leads_to_what_belongs_to_it(staff: Client) -> None:
    bot = BotFactory.create()

    page = staff.get(f"{BOTS}{bot.id}/change/").content.decode()

    for part in ("trading/botrun", "trading/orderintent", "trading/fill", "events/storedevent", "risk/halt"):
        assert f"/admin/{part}/?q={bot.id}" in page
    assert f"/admin/vault/credential/{bot.credential_id}/change/" in page


def _indexes(table: str) -> Iterator[list[str]]:
    """The columns of each index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass AND indisvalid",
            [connection.ops.quote_name(table)],
        )
        for (definition,) in cursor.fetchall():
            columns = definition.partition(" USING btree (")[2].partition(")")[0]
            yield [column.split()[0].strip('"') for column in columns.split(", ")]


# The index of aggregates begins with the type, which the search adds.
BEHIND_ANOTHER = {("events.StoredEvent", "aggregate_id")}


@pytest.mark.parametrize("page", LARGE, ids=lambda page: page.opts.label)
def test_what_a_large_list_searches_and_orders_by_has_an_index(page: Any) -> None:
    meta = page.opts
    indexes = list(_indexes(meta.db_table))
    names = [lookup.partition("__")[0] for lookup in page.search_keys]
    columns = {(meta.pk if name == "pk" else meta.get_field(name)).column for name in ["pk", *names]
               if (meta.label, name) not in BEHIND_ANOTHER}  # fmt: skip

    assert columns <= {columns[0] for columns in indexes}
    for name, (first, *_) in page.keysets.items():
        key = meta.pk if first == "pk" else meta.get_field(first)
        assert [name, key.column] in [columns[:2] for columns in indexes]


@pytest.mark.parametrize("page", LARGE, ids=lambda page: page.opts.label)
def test_no_filter_of_a_large_list_reads_the_table_for_its_choices(page: Any, staff: Client) -> None:
    assert page.date_hierarchy is None
    with CaptureQueriesContext(connection) as asked:
        staff.get(f"/admin/{page.opts.app_label}/{page.opts.model_name}/")
    assert [each["sql"] for each in asked if "DISTINCT" in each["sql"]] == []


def test_every_page_is_in_the_side_bar_once() -> None:
    listed = [page.target for _, pages in SECTIONS for page in pages if not page.target.startswith("/")]
    assert sorted(listed) == sorted(model._meta.label_lower for model in admin.site._registry)


def test_the_side_bar_has_the_pages_that_a_role_may_see(staff: Client) -> None:
    page = staff.get("/admin/").content.decode()
    for title in ("People", "Orders and money", "Paper exchange"):
        assert title in page
    assert "<span>Bot runs</span>" in page


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model._meta.label)
def test_titles_are_words_of_their_language(model: Any) -> None:
    plural = str(model._meta.verbose_name_plural)
    assert not re.search(r"[^aeiou]ys$|sss?$|news", plural), plural


def test_no_two_pages_have_the_same_title() -> None:
    titles = [str(model._meta.verbose_name_plural) for model in admin.site._registry]
    assert sorted(set(titles)) == sorted(titles)
