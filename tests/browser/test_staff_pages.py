"""One walk over every page of the staff site in a browser: clean, and accessible where people work all day."""

import re

import pytest
from playwright.sync_api import expect

from apps.ops.staff_pages import SITE, staff_pages
from tests.browser.watch import WIDTHS, WatchedPage
from tests.support.platform import registered_trader, running
from tests.support.signals import frozen

pytestmark = pytest.mark.timeout(300)

# Each model's list, the form for a new object where there is one, and every page that is no model's and needs no id.
LISTS = [page.path for page in staff_pages() if re.fullmatch(rf"{SITE}\w+/\w+/", page.path)]
FORMS = [f"{page.path}add/" for page in staff_pages() if page.path in LISTS and page.adds != "–"]
WORKPLACES = ("/admin/", "/admin/dashboard/", "/admin/event-browser/", "/admin/trading/ordertoresolve/")


@pytest.mark.parametrize("path", FORMS)
def test_the_form_of_a_new_object_is_clean(watched_by_staff: WatchedPage, path: str) -> None:
    watched_by_staff.go_to(path)

    expect(watched_by_staff.page.locator("#content-main, #content").first).to_be_visible()


@pytest.mark.parametrize("path", LISTS)
def test_a_list_and_the_page_of_its_first_object_are_clean(watched_by_staff: WatchedPage, path: str) -> None:
    watched_by_staff.go_to(path)
    expect(watched_by_staff.page.locator("#content-main, #content").first).to_be_visible()
    first = watched_by_staff.page.locator(f"#result_list tbody a[href^='{path}']").first
    if not first.count():
        expect(watched_by_staff.page.locator("#result_list tbody tr")).to_have_count(0)
        return

    watched_by_staff.go_to(first.get_attribute("href") or "")

    expect(watched_by_staff.page.locator("#content-main")).to_be_visible()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", WORKPLACES)
def test_where_people_work_is_accessible_and_fits(watched_by_staff: WatchedPage, path: str, width: str) -> None:
    watched_by_staff.page.set_viewport_size(WIDTHS[width])

    watched_by_staff.go_to(path)

    watched_by_staff.assert_fits()
    watched_by_staff.assert_accessible()


def test_the_dashboard_draws_its_plots_and_refreshes_itself(watched_by_staff: WatchedPage) -> None:
    page = watched_by_staff.page
    with page.expect_response("**/admin/dashboard/figures.json*") as answered:
        watched_by_staff.go_to("/admin/dashboard/")

    assert answered.value.status == 200
    expect(page.locator(".ops-plot canvas").first).to_be_visible()


def test_the_dashboard_says_that_a_broker_is_down_while_it_is_open(watched_by_staff: WatchedPage) -> None:
    page = watched_by_staff.page
    watched_by_staff.go_to("/admin/dashboard/")
    queues = page.locator("#panel-queues")

    with frozen(running("rabbitmq")):
        expect(queues).to_contain_text("rabbitmq is down", timeout=90_000)
        watched_by_staff.go_to("/admin/dashboard/")
        expect(queues).to_contain_text("The figures are the last that are known.")

    expect(queues).not_to_contain_text("rabbitmq is down", timeout=90_000)


def test_one_chain_is_a_graph_a_replay_and_a_file(watched_by_staff: WatchedPage, platform_url: str) -> None:
    page = watched_by_staff.page
    registered_trader(platform_url).post("/api/v1/kraken/connect", {"label": "Chain", "mode": "paper"})

    watched_by_staff.go_to("/admin/event-browser/")
    row = page.locator("#events tbody tr", has_text="kraken.key.connected").first
    row.get_by_role("link", name="graph").click()
    expect(page.locator(".ops-graph svg")).to_be_visible()
    expect(page.locator("#chain")).to_contain_text("kraken.key.connected")
    chain = page.url

    page.get_by_role("link", name="Replay").click()
    expect(page.locator("#content-main")).to_contain_text("kraken.key.connected")

    page.goto(chain)
    with page.expect_download() as downloaded:
        page.get_by_label("Export because").fill("Asked for by an auditor")
        page.get_by_role("button", name="Export").click()
    assert "kraken.key.connected" in downloaded.value.path().read_text()


def test_an_export_without_a_reason_is_none(watched_by_staff: WatchedPage) -> None:
    page = watched_by_staff.page
    watched_by_staff.go_to("/admin/event-browser/")
    page.locator("#events tbody").get_by_role("link", name="graph").first.click()
    reason = page.get_by_label("Export because")
    reason.evaluate("field => field.removeAttribute('required')")

    page.get_by_role("button", name="Export").click()

    expect(page.get_by_text("This field is required.")).to_be_visible()
    watched_by_staff.forgive("400")
