"""The documentation site: links of the repository become links of the site, and nothing comes from another host."""

import re
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from dev.docs import api_pages, site

PAGES = {"api.md", "start.md", "adr/index.md", "runbooks/OrderUnknown.md", "code/trading.md"}


class Files:
    def get_file_from_path(self, path: str) -> object | None:
        return path if path in PAGES else None


@pytest.mark.parametrize(
    ("source", "page", "link", "becomes"),
    [
        ("README.md", "start.md", "[API](docs/api.md#limits)", "[API](api.md#limits)"),
        ("README.md", "start.md", "[decisions](docs/adr/)", "[decisions](adr/index.md)"),
        ("apps/trading/README.md", "code/trading.md", "[API](../../docs/api.md)", "[API](../api.md)"),
        ("docs/api.md", "api.md", "[start](../README.md)", "[start](start.md)"),
        ("docs/api.md", "api.md", "[the rest](#errors)", "[the rest](#errors)"),
        ("docs/api.md", "api.md", "[Kraken](https://docs.kraken.com/)", "[Kraken](https://docs.kraken.com/)"),
        ("docs/api.md", "api.md", "[the table](../apps/core/processes.toml)", "the table"),
        ("docs/api.md", "api.md", "[nothing](../apps/no-such-file.py)", "[nothing](../apps/no-such-file.py)"),
    ],
)
def test_a_link_leads_to_the_page_of_the_site(source: str, page: str, link: str, becomes: str) -> None:
    found = site.LINK.fullmatch(link)
    assert found
    assert site._link(found, PurePosixPath(source), page, Files()) == becomes  # type: ignore[arg-type]


def test_pages_that_are_optional_are_left_out_where_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    entries = [{"A": "there.md"}, {"B": "away.md"}, {"C": [{"D": "away.md"}]}]
    assert site._navigation(entries, tmp_path, {"there.md", "away.md"}) == [{"A": "there.md"}, {"C": []}]


def test_a_folder_in_the_navigation_becomes_its_pages(tmp_path: Path) -> None:
    (tmp_path / "adr").mkdir()
    for name in ("0002-b.md", "0001-a.md"):
        (tmp_path / "adr" / name).touch()
    assert site._navigation(["adr/*"], tmp_path, set()) == ["adr/index.md", "adr/0001-a.md", "adr/0002-b.md"]


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example.com/x.js">',
        "<link rel=stylesheet href=//fonts.example.com/x>",
        '<img src="http://x/y">',
    ],
)
def test_a_page_that_loads_from_another_host_fails_the_build(tmp_path: Path, tag: str) -> None:
    (tmp_path / "index.html").write_text(tag)
    with pytest.raises(PluginError, match="another host"):
        site.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))  # type: ignore[arg-type]


def test_links_that_a_reader_follows_may_lead_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="https://docs.kraken.com/">Kraken</a> <img src="diagram.svg">')
    site.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))  # type: ignore[arg-type]


def test_the_reference_has_every_call_of_a_service() -> None:
    document = site.ROOT / "docs" / "openapi-paper.yaml"
    page = api_pages.as_markdown(document, "API")
    wanted = set(re.findall(r"operationId: (\w+)", document.read_text()))
    assert set(re.findall(r"\{ #(\w+) \}", page)) == wanted
