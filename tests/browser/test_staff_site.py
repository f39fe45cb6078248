"""Staff use their site in a browser, through the gateway."""

import re
from textwrap import dedent
from uuid import UUID, uuid4

import pyotp
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import StaffAccount
from tests.browser.watch import WatchedPage
from tests.support.platform import manage

# The first test of a run starts the platform.
pytestmark = pytest.mark.timeout(240)


def _log_in(watched: WatchedPage, staff: StaffAccount, password: str | None = None) -> None:
    watched.go_to("/admin/")
    page = watched.page
    page.get_by_label("Email").fill(staff.email)
    page.get_by_label("Password*").fill(password or staff.password)
    if password is None:
        page.get_by_label("One-time password").fill(staff.recovery_codes.pop())
    page.get_by_role("button", name="Log in").click()


def _enter(watched: WatchedPage, staff: StaffAccount) -> None:
    _log_in(watched, staff)
    expect(watched.page.get_by_role("heading", name="Site administration")).to_be_visible()


def test_staff_log_in_and_out(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page

    _enter(watched, staff)
    page.locator("nav").get_by_text(staff.email).last.click()  # opens the menu
    page.get_by_role("button", name="Log out").click()

    expect(page.get_by_text("Logged out", exact=False).first).to_be_visible()
    watched.go_to("/admin/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_wrong_password_is_refused_on_the_form(watched: WatchedPage, staff: StaffAccount) -> None:
    _log_in(watched, staff, "not the password")

    expect(watched.page.get_by_text("Please enter the correct")).to_be_visible()


def test_staff_change_a_record(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _enter(watched, staff)

    watched.go_to(f"/admin/accounts/user/?q={staff.email}")
    page.get_by_role("link", name=staff.email).click()
    page.get_by_label("Name", exact=True).fill("Grace Hopper")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("This field is required.")).to_be_visible()

    page.get_by_label("Reason").fill("She was promoted")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    page.get_by_role("link", name=staff.email).first.click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Grace Hopper")


def test_staff_halt_an_account_and_lift_it(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _enter(watched, staff)
    subject, reason = str(uuid4()), f"Suspicious orders {uuid4()}"

    watched.go_to("/admin/risk/halt/add/")
    page.get_by_label("Scope").select_option("user")
    page.get_by_label("Id", exact=True).fill(subject)
    page.get_by_label("Level").select_option("halted")
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()

    watched.go_to(f"/admin/risk/halt/?q={subject}")
    expect(page.get_by_text(reason)).to_be_visible()
    page.locator("#result_list tbody a").first.click()
    page.get_by_label("Lift it because").fill("Explained by the owner")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()

    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_label("Lift it because")).to_have_count(0)


def test_the_live_switch_asks_for_a_reason(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _enter(watched, staff)

    watched.go_to("/admin/risk/liveswitch/")
    page.locator("#result_list tbody a").first.click()
    switch = page.get_by_label("Live trading is on")
    expect(switch).not_to_be_checked()
    switch.check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("This field is required.")).to_be_visible()

    watched.go_to("/admin/risk/liveswitch/")
    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_label("Live trading is on")).not_to_be_checked()


def test_the_page_of_orders_that_need_a_person_is_there(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _enter(watched, staff)

    page.get_by_role("link", name="Orders that need a person").click()

    expect(page).to_have_title(re.compile("order that needs a person", re.IGNORECASE))
    expect(page.get_by_text(re.compile(r"\d+\s+orders?\s+that\s+needs?\s+a\s+person")).first).to_be_visible()


# An order of unknown end and a difference that was told, of a key that is not connected any more: what is entered goes
# the whole way to the bot service and back, and the answer is that there is no such key.
ACCOUNT_IN_DOUBT = """
    from datetime import timedelta
    from uuid import UUID, uuid4
    from django.utils import timezone
    from apps.messages.bots import BotConfig
    from apps.risk.models.accounts import Account, AccountAsset
    from apps.trading.ids import new_client_order_id
    from apps.trading.models.orders import OrderIntent
    from apps.trading.models.runs import BotRun
    from apps.trading.services.orders.announcements import order_save
    from apps.trading.services.orders.positions import position_ensure

    now, key, user, bot = timezone.now(), UUID("{key}"), uuid4(), uuid4()
    config = BotConfig(name="Doubt", mode="paper", credential_id=key, pair="XBTUSD", strategy="dca",
                       parameters={{"quote_amount": "50"}}, interval_minutes=60, quote_budget="1000", version=1)
    run = BotRun.objects.create(
        bot_id=bot, user_id=user, credential_id=key, mode="paper", pair="XBTUSD", interval_minutes=60,
        config=config.model_dump(mode="json"), state="stopped", start_command_id=uuid4(), requested_at=now,
        started_at=now, stopped_at=now, next_tick_at=now, correlation_id=uuid4(), started_event_id=uuid4())
    position_ensure(bot_id=bot, credential_id=key, pair="XBTUSD", base_asset="XXBT", quote_asset="ZUSD", now=now)
    order = OrderIntent(
        run=run, bot_id=bot, credential_id=key, decision_id=uuid4().hex, cl_ord_id=new_client_order_id(bot),
        pair="XBTUSD", side="buy", kind="take", price=100, volume=1, fence=0, planned_at=now)
    order_save(order, now=now, force_insert=True)
    for state in ("sending", "unknown", "needs_human"):
        order.move_to(state)
        order.sent_at = order.deadline = now
        order.evidence = [{{"at": now.isoformat(), "because": "a test"}}]
        order_save(order, now=now)
    account = Account.objects.create(credential_id=key, user_id=user, compared_at=now,
                                     compare_at=now + timedelta(hours=1))
    AccountAsset.objects.create(account=account, asset="ZUSD", booked=1000, drift_since=now, drift_expected=1000,
                                drift_found=993)
    print(order.cl_ord_id)
"""


@pytest.fixture
def in_doubt(platform_url: str) -> tuple[UUID, str]:
    """The key of an account with a difference, and the client order id of its order that needs a person."""
    key = uuid4()
    made = manage("shell", "--no-imports", "-c", dedent(ACCOUNT_IN_DOUBT).format(key=key))
    assert made.returncode == 0, made.stderr
    return key, made.stdout.split()[-1]


def _reload_until(watched: WatchedPage, text: str) -> None:
    for _ in range(30):
        if watched.page.get_by_text(text).count():
            return
        watched.page.wait_for_timeout(1000)
        watched.page.reload()
    expect(watched.page.get_by_text(text)).to_be_visible()


def _expect_entered_and_refused(watched: WatchedPage, reason: str) -> None:
    """What was entered is shown with its reason, and later with the bot service's answer."""
    expect(watched.page.get_by_text("Entered. The exchange is being asked")).to_be_visible()
    expect(watched.page.get_by_text(reason)).to_be_visible()
    _reload_until(watched, "There is no such key.")


def test_staff_enter_what_became_of_an_order(
    watched: WatchedPage, staff: StaffAccount, in_doubt: tuple[UUID, str]
) -> None:
    page, (_, order) = watched.page, in_doubt
    _enter(watched, staff)
    reason = f"The account's own pages {uuid4()}"

    watched.go_to(f"/admin/trading/ordertoresolve/?q={order}")
    page.get_by_role("link", name=order).click()
    page.get_by_label("It was placed").check()
    page.get_by_label("What was looked at").fill(reason)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Enter the exchange's id of the order.")).to_be_visible()

    page.get_by_label("Exchange order id").fill("OABCDE-FGHIJ-KLMNOP")
    page.get_by_role("button", name="Save", exact=True).click()
    _expect_entered_and_refused(watched, reason)


def test_staff_see_an_account_and_accept_its_balances(
    watched: WatchedPage, staff: StaffAccount, in_doubt: tuple[UUID, str]
) -> None:
    page, (key, order) = watched.page, in_doubt
    _enter(watched, staff)
    reason = f"A fee of the bank {uuid4()}"

    watched.go_to(f"/admin/risk/account/?q={key}")
    page.get_by_role("link", name=str(key)).click()
    expect(page.get_by_role("cell", name="993", exact=True)).to_be_visible()
    expect(page.get_by_text(order)).to_be_visible()
    page.get_by_label("Accept the exchange's balances").check()
    page.get_by_label("What was looked at").fill(reason)
    page.get_by_role("button", name="Save", exact=True).click()

    _expect_entered_and_refused(watched, reason)


def test_the_first_log_in_sets_an_authenticator_up(watched: WatchedPage, newcomer: StaffAccount) -> None:
    page = watched.page
    watched.go_to("/admin/")
    page.get_by_label("Email").fill(newcomer.email)
    page.get_by_label("Password*").fill(newcomer.password)
    page.get_by_role("button", name="Log in").click()

    page.get_by_label("Password*").fill(newcomer.password)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#content-main svg")).to_be_visible()
    secret = page.locator("code.secret").inner_text()
    page.get_by_label("Code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator(".recovery-codes li")).to_have_count(10)
    page.get_by_role("link", name="To the staff site").click()

    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()


def test_flower_is_for_staff_who_are_logged_in(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    page.goto(f"{watched.base_url}/flower/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert "next=/flower/" in page.url
    page.get_by_label("Email").fill(staff.email)
    page.get_by_label("Password*").fill(staff.password)
    page.get_by_label("One-time password").fill(staff.recovery_codes.pop())
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("link", name="Workers")).to_be_visible()
    page.wait_for_load_state()  # the page's own script comes last
    assert page.evaluate("typeof autorefresh") == "number"
    assert page.request.get(f"{watched.base_url}/flower/metrics").status == 404


def test_the_site_works_behind_tls(browser: Browser, secured_url: str, staff: StaffAccount) -> None:
    context = browser.new_context(ignore_https_errors=True)
    secured = WatchedPage.open(context, secured_url)

    _log_in(secured, staff)

    expect(secured.page.get_by_role("heading", name="Site administration")).to_be_visible()
    assert secured.page.url.startswith("https://")
    for path in ("/admin/dashboard/", "/admin/event-browser/", "/admin/bots/bot/", "/admin/risk/halt/add/"):
        secured.go_to(path)
    secured.assert_clean()
    context.close()
