"""What the documents name exists: pages, files, tests, modules, commands, make targets, settings and metrics."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

from apps.ops import metrics_page
from dev.config.environment import known_variables
from tests.support.documents import PAGES, PAGES_OF_TODAY, ROOT, relative

CODE = [
    path
    for folder in ("apps", "platform", "dev", "tests", "nginx", "docker")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".yml", ".template", ".toml", ".sql"} and path != Path(__file__).resolve()
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A path in backticks that begins in one of our folders; placeholders such as NAME or <name> are examples.
PATH = re.compile(r"`((?:apps|platform|dev|tests|nginx|docker|docs|requirements)/[\w./*-]*)`")
CITED_PAGE = re.compile(r"\bdocs/[\w/-]+\.(?:md|json|yaml)\b")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
MODULE = re.compile(r"`((?:apps|dev|tests)(?:\.\w+)+)`")
SETTING = re.compile(r"(?<![\w…])MUCKARD_[A-Z][A-Z_]*[A-Z](?![\w<]|_…)")
# In backticks, with labels, or with the ending of a unit
METRIC = re.compile(r"`([a-z]\w*(?=\{)|[a-z]\w*_(?:total|seconds|bytes|ratio|info))(?:\{[^`]*\})?`")
# Endings of metrics that other things have too
# Names with the ending of a metric: fields of the API, and one of the process table.
API_FIELD = re.compile(r"^ +(\w+):$", re.MULTILINE)
API_DOCUMENTS = (ROOT / "docs").glob("openapi-*.yaml")
NO_METRICS = {name for file in API_DOCUMENTS for name in API_FIELD.findall(file.read_text())} | {"stop_seconds"}
COMMAND = re.compile(r"\bmanage\.py ([a-z_]*[a-z])(?![\w<])")  # not run_<name>
TARGET = re.compile(r"`make ([a-z-]+)")


def test_there_are_documents_to_look_at() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md"} <= {relative(p) for p in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_to_a_page_that_exists(page: Path) -> None:
    local = [link.split("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link and link[0] != "#"]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_anchor_of_a_link_is_a_heading(page: Path) -> None:
    missing = []
    for link in LINK.findall(page.read_text()):
        target, _, anchor = link.partition("#")
        if anchor and "://" not in link:
            there = (page.parent / target).resolve() if target else page
            if anchor not in headings(there):
                missing.append(link)
    assert missing == []


@pytest.mark.parametrize("page", PAGES_OF_TODAY, ids=relative)
def test_every_path_in_backticks_exists(page: Path) -> None:
    named = {path for path in PATH.findall(page.read_text()) if not path.split("/")[-1].isupper()}
    assert [path for path in sorted(named) if not exists(path)] == []


@pytest.mark.parametrize("page", PAGES_OF_TODAY, ids=relative)
def test_every_test_and_module_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    tests = [(path, name) for path, name in TEST.findall(text) if f"def {name}(" not in (ROOT / path).read_text()]
    modules = [name for name in MODULE.findall(text) if not any(map(Path.exists, _places_of(name)))]
    assert (tests, modules) == ([], [])


@pytest.mark.parametrize("page", PAGES_OF_TODAY, ids=relative)
def test_every_setting_exists(page: Path) -> None:
    in_compose = {name for file in (ROOT / "docker").glob("*.yml") for name in SETTING.findall(file.read_text())}
    assert sorted(set(SETTING.findall(page.read_text())) - known_variables() - in_compose) == []


# The page of the database names columns, which have such endings too.
@pytest.mark.parametrize("page", [page for page in PAGES_OF_TODAY if page.name != "database.md"], ids=relative)
def test_every_metric_exists(page: Path) -> None:
    named = set(METRIC.findall(page.read_text())) - NO_METRICS
    if not named:
        return
    recorded = {rule["record"] for rule in _rules() if "record" in rule}
    ours = {f"{name}{end}" for name in metrics_page.declarations() for end in ("", "_bucket", "_count", "_sum")}
    assert sorted(named - ours - recorded - metrics_page.RABBITMQ.keys() - metrics_page.PYTHON.keys()) == []


def test_every_page_that_code_cites_exists() -> None:
    cited = {(relative(path), name) for path in CODE for name in CITED_PAGE.findall(path.read_text())}
    assert cited
    assert sorted((path, name) for path, name in cited if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("page", PAGES_OF_TODAY, ids=relative)
def test_every_management_command_exists(page: Path) -> None:
    assert sorted(set(COMMAND.findall(page.read_text())) - get_commands().keys()) == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert sorted(set(TARGET.findall(page.read_text())) - targets) == []


def test_every_readme_of_an_app_is_linked_from_the_docs() -> None:
    linked = {
        (page.parent / link.split("#")[0]).resolve()
        for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
        for link in LINK.findall(page.read_text())
    }
    assert sorted(relative(readme) for readme in (ROOT / "apps").rglob("README.md") if readme not in linked) == []


def test_the_glossary_is_short() -> None:
    assert len((ROOT / "docs" / "glossary.md").read_text().splitlines()) <= 60


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them: lower case, spaces as dashes, no punctuation."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def _places_of(module: str) -> Iterator[Path]:
    """Where a dotted name may lead to: a module, a package, or something inside a module."""
    parts = module.split(".")
    for used in (parts, parts[:-1]):
        yield ROOT.joinpath(*used)
        yield ROOT.joinpath(*used[:-1], f"{used[-1]}.py")


def _rules() -> Iterator[dict[str, str]]:
    for file in (ROOT / "docker" / "prometheus" / "rules").glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def exists(path: str) -> bool:
    return any(_matches(path)) if "*" in path else (ROOT / path).exists()


def _matches(pattern: str) -> Iterator[Path]:
    return ROOT.glob(pattern.rstrip("/"))
