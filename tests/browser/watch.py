"""A page that remembers what a person would see only in the browser's developer tools."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Request, ViewportSize

# Runs before every document's own scripts, whatever the document's policy allows.
_REPORT_VIOLATIONS = """
document.addEventListener('securitypolicyviolation', event =>
    window.reportViolation(`${event.effectiveDirective}: ${event.blockedURI} on ${event.documentURI}`));
"""
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
WIDTHS = {"desktop": DESKTOP, "phone": PHONE}
_WITHOUT_A_HOST = frozenset({"data", "blob", "about"})


@dataclass
class WatchedPage:
    """A page of one test, with what went wrong on it. `assert_clean` is called at the end of each test."""

    page: Page
    base_url: str
    console_errors: list[str] = field(default_factory=list)
    policy_violations: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, context: BrowserContext, base_url: str) -> "WatchedPage":
        """A new page, watched from its first request on. Paths that it goes to are relative to `base_url`."""
        watched = cls(context.new_page(), base_url)
        context.on("request", watched._note_request)
        watched.page.on("console", watched._note_message)
        watched.page.on("pageerror", watched._note_exception)
        watched.page.expose_function("reportViolation", watched._note_violation)
        watched.page.add_init_script(_REPORT_VIOLATIONS)
        return watched

    def go_to(self, path: str) -> None:
        """Loads a path of the gateway, which must answer with 200."""
        response = self.page.goto(f"{self.base_url}{path}")
        assert response is not None
        assert response.status == 200, f"{path}: {response.status}"

    def forgive(self, *parts: str) -> None:
        """Drops console errors that contain all of these texts: of what the test itself brought about."""
        self.console_errors[:] = [error for error in self.console_errors if not all(part in error for part in parts)]

    def assert_accessible(self) -> None:
        """Raises AssertionError with what axe-core finds serious or critical on the page as it is."""
        found = [
            f"{each['id']} ({each['impact']}): {each['help']}: {[node['target'] for node in each['nodes'][:3]]}"
            for each in Axe().run(self.page).response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert found == [], f"{self.page.url}: {found}"

    def assert_fits(self) -> None:
        """Raises AssertionError where the page is wider than its window."""
        wide = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], f"{self.page.url} is {wide[0]} px wide in a window of {wide[1]} px"

    def assert_clean(self) -> None:
        """Raises AssertionError with everything that the page should not have seen."""
        seen = {
            "console errors": self.console_errors,
            "violations of the content security policy": self.policy_violations,
            "requests to foreign hosts": self.foreign_requests,
        }
        found = {name: entries for name, entries in seen.items() if entries}
        assert not found, found

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where: Any = message.location
            self.console_errors.append(f"{message.text} ({where.get('url')})")

    def _note_exception(self, error: Error) -> None:
        self.console_errors.append(f"uncaught: {error}")

    def _note_violation(self, violation: str) -> None:
        self.policy_violations.append(violation)

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in _WITHOUT_A_HOST and parts.netloc != urlsplit(self.base_url).netloc:
            self.foreign_requests.append(request.url)
