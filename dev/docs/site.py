"""What the documentation site needs besides the files in docs/: MkDocs calls these functions (mkdocs.yml, `hooks`).

Pages beside code (README.md, CONTRIBUTING.md, apps/*/README.md) are pages of the site too. Links between files of the
repository become links of the site, or plain text where a file is no page. Diagrams become SVG.
"""

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # MkDocs loads a hook by its path

from dev.docs import api_pages, diagrams  # noqa: E402

# file of the repository: page of the site
OUTSIDE = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "apps/trading/README.md": "code/trading.md",
    "apps/paper/README.md": "code/paper.md",
    "apps/messages/schemas/README.md": "code/schemas.md",
}
SERVICES = {"user": "User service", "kraken": "Kraken service", "paper": "Paper exchange"}
FOLDERS = {"adr": "Decisions", "runbooks": "Runbooks"}
FENCE = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FOREIGN = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^\"'\s>]+", re.IGNORECASE
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Entries of `nav` that name a folder become its pages; optional pages that do not exist are left out."""
    config.nav = _navigation(config.nav, Path(config.docs_dir), set(config.extra.get("optional_pages", ())))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in OUTSIDE.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(
            File.generated(
                config, page, content=content if source.endswith(".md") else f"# License\n\n```\n{content}\n```\n"
            )
        )
    for service, title in SERVICES.items():
        content = api_pages.as_markdown(ROOT / "docs" / f"openapi-{service}.yaml", f"API of the {title.lower()}")
        files.append(File.generated(config, f"reference/{service}.md", content=content))
    for folder, title in FOLDERS.items():
        pages = sorted((ROOT / "docs" / folder).glob("*.md"))
        entries = "\n".join(f"- [{_title(page)}]({page.name})" for page in pages)
        files.append(File.generated(config, f"{folder}/index.md", content=f"# {title}\n\n{entries}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 (MkDocs names them)
    with_diagrams = FENCE.sub(lambda found: f"\n<figure>{_diagram(found[1], page)}</figure>\n", markdown)
    source = _source_of(page.file.src_uri)
    if source is None:
        return with_diagrams
    pieces = CODE.split(with_diagrams)
    for number in range(0, len(pieces), 2):
        pieces[number] = LINK.sub(lambda found: _link(found, source, page.file.src_uri, files), pieces[number])
    return "".join(pieces)


def on_post_build(config: MkDocsConfig) -> None:
    """Fails where a page would load something from another host."""
    site = Path(config.site_dir)
    for page in sorted(site.rglob("*.html")):
        found = [hit for hit in FOREIGN.findall(page.read_text(encoding="utf-8")) if 'rel="canonical"' not in hit]
        if found:
            raise PluginError(f"{page.relative_to(site)} loads from another host: {found[0]}")


def _navigation(entries: Any, docs: Path, optional: set[str]) -> Any:
    if isinstance(entries, dict):
        return {title: _navigation(entry, docs, optional) for title, entry in entries.items()}
    if isinstance(entries, list):
        kept = []
        for entry in entries:
            target = next(iter(entry.values())) if isinstance(entry, dict) else entry
            if isinstance(target, str) and target in optional and not (docs / target).exists():
                continue
            if isinstance(target, str) and target.endswith("/*"):
                folder = target.removesuffix("/*")
                kept += [
                    f"{folder}/index.md",
                    *(f"{folder}/{page.name}" for page in sorted((docs / folder).glob("*.md"))),
                ]
            else:
                kept.append(_navigation(entry, docs, optional))
        return kept
    return entries


def _source_of(page: str) -> PurePosixPath | None:
    """The file of the repository that a page is made from; None for pages that are written here."""
    outside = {site: source for source, site in OUTSIDE.items()}
    if page in outside:
        return PurePosixPath(outside[page])
    in_docs = PurePosixPath("docs") / page
    return in_docs if (ROOT / in_docs).exists() else None


def _link(found: re.Match[str], source: PurePosixPath, page: str, files: Files) -> str:
    target, _, anchor = found[3].partition("#")
    if not target or "://" in target or target.startswith("mailto:"):
        return found[0]
    there = os.path.normpath(source.parent / target)
    if there.startswith("docs/"):
        wanted = there.removeprefix("docs/")
        wanted = f"{wanted}/index.md" if wanted in FOLDERS else wanted
    else:
        wanted = OUTSIDE.get(there, "")
    if files.get_file_from_path(wanted) is None:
        # A file or folder of the repository that is no page. What does not exist at all is for MkDocs to report.
        return found[2] if (ROOT / there).exists() else found[0]
    relative = os.path.relpath(wanted, PurePosixPath(page).parent)
    return f"{found[1]}[{found[2]}]({relative}{'#' + anchor if anchor else ''})"


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def _diagram(source: str, page: Page) -> str:
    try:
        return diagrams.to_svg(source)
    except diagrams.DiagramNotUnderstood as error:
        raise PluginError(
            f"{page.file.src_uri}: a diagram has a line that dev/docs/diagrams.py does not draw: {error}"
        ) from None
