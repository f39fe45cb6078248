"""Who may open and change what on the staff site, over HTTP: every page as every role, compared with docs/roles.md."""

import re
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import requests

from apps.ops.access_table import NO_RULE
from apps.ops.staff_pages import ANY_STAFF, SITE, STAFF, staff_pages
from tests.acceptance.bad_input.asking import address
from tests.support.gateway import Gateway
from tests.support.members import NO_ROLE, PASSWORD, members

pytestmark = pytest.mark.timeout(300)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "roles.md"
ROW = re.compile(rf"^\| `({SITE}\S*)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", flags=re.MULTILINE)


class Row(NamedTuple):
    """Of the table: a path, and who opens, adds, changes and deletes."""

    path: str
    opens: str
    adds: str
    changes: str
    deletes: str

    @property
    def is_of_a_model(self) -> bool:
        return bool(re.fullmatch(rf"{SITE}\w+/\w+/", self.path))

    def requests(self) -> list[tuple[str, str, str]]:
        """Method, path and who may. Of an object that there is not: who may is led back, and nothing is changed."""
        if not self.is_of_a_model:
            return [("GET", re.sub("<[^>]+>", str(uuid4()), self.path), self.opens)]
        thing = f"{self.path}{uuid4()}"
        return [
            ("GET", self.path, self.opens),
            ("GET", f"{thing}/change/", self.opens),
            ("GET", f"{thing}/history/", self.opens),
            ("GET", f"{self.path}add/", self.adds),
            ("POST", f"{thing}/change/", self.changes),
            ("POST", f"{thing}/delete/", self.deletes),
        ]


def rows() -> list[Row]:
    return [Row(*(part.strip() for part in found)) for found in ROW.findall(PAGE.read_text())]


def test_the_page_has_every_page_of_the_site_and_each_has_a_rule() -> None:
    assert [row.path for row in rows()] == [page.path for page in staff_pages()], (
        "run `manage.py check_contracts --write`"
    )
    assert len(rows()) > 40
    assert [page.path for page in staff_pages() if page.opens == NO_RULE] == [], "give its view a rule: `with_access`"


class Visitor:
    """A browser's session on the staff site."""

    def __init__(self, gateway: Gateway, email: str | None) -> None:
        self.url = f"http://127.0.0.1:{gateway.profile.ports['gateway']}"
        self.session = requests.Session()
        self.session.headers.update(address())
        if email is not None:
            form = {"username": email, "password": PASSWORD, "otp": ""}
            self.has_entered = self.send("POST", f"{SITE}login/", **form).status_code == 302

    def send(self, method: str, path: str, **fields: str) -> requests.Response:
        if method == "POST":
            if "csrftoken" not in self.session.cookies:
                self.session.get(f"{self.url}{SITE}login/", timeout=60)
            fields["csrfmiddlewaretoken"] = self.session.cookies["csrftoken"]
        data = fields if method == "POST" else None
        return self.session.request(method, self.url + path, data=data, allow_redirects=False, timeout=60)

    def may(self, method: str, path: str) -> bool:
        """Whether the answer is neither a refusal nor the log-in form."""
        answer = self.send(method, path)
        assert answer.status_code in (200, 302, 403, 404), f"{method} {path}: {answer.status_code}"
        return answer.status_code != 403 and not answer.headers.get("Location", "").startswith(f"{SITE}login/")


@pytest.mark.parametrize("role", STAFF)
def test_each_page_is_answered_as_the_table_says(role: str, open_gateway: Gateway) -> None:
    visitor, wrong = Visitor(open_gateway, members().emails[role]), []
    assert visitor.has_entered
    for row in rows():
        for method, path, who in row.requests():
            expected = who == ANY_STAFF or role in who.split(", ")
            # The gateway asks `anyone`'s page before it lets a caller in, and the answer is what it is for.
            if who != "anyone" and visitor.may(method, path) is not expected:
                wrong.append(f"{method} {path}: {'allowed' if expected else 'refused'} expected")
    assert wrong == []


@pytest.mark.parametrize("role", ["trader", NO_ROLE, None])
def test_who_is_no_member_of_staff_sees_the_log_in_form_alone(role: str | None, open_gateway: Gateway) -> None:
    visitor = Visitor(open_gateway, members().emails[role] if role else None)
    assert role is None or not visitor.has_entered
    opened = [row.path for row in rows() if row.opens != "anyone" and visitor.may("GET", row.requests()[0][1])]
    assert opened == []
