"""Browser libraries: what is served is what is pinned, byte by byte, with its licence."""

from pathlib import Path

import pytest

from dev.base.profile import ROOT
from dev.install import vendor


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vendored libraries, copied to where a test may spoil them."""
    for path in vendor.VENDOR.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(vendor, "VENDOR", tmp_path / vendor.VENDOR.relative_to(ROOT))
    monkeypatch.setattr(vendor, "ROOT", tmp_path)
    return vendor.VENDOR


def test_the_served_libraries_are_the_pinned_ones_with_their_licences(served: Path) -> None:
    assert vendor.problems(vendor.libraries()) == []
    assert {path.parent.name for path in served.rglob("LICENSE")} == {each.name for each in vendor.libraries()}


def test_a_changed_a_missing_and_an_unknown_file_are_named(served: Path) -> None:
    with (served / "htmx" / "htmx.min.js").open("ab") as file:
        file.write(b"\n// a change")
    (served / "uplot" / "LICENSE").unlink()
    (served / "unknown.js").write_text("alert()")

    problems = vendor.problems(vendor.libraries())

    assert len(problems) == 3
    for path in ("vendor/htmx/htmx.min.js", "vendor/uplot/LICENSE", "vendor/unknown.js"):
        assert sum(path in problem for problem in problems) == 1


def test_a_library_without_its_licence_is_refused(tmp_path: Path) -> None:
    pinned = tmp_path / "vendor.toml"
    pinned.write_text(
        vendor.PINNED.read_text().replace("LICENSE = ", "README = ").replace('"LICENSE" = ', '"README" = ')
    )

    with pytest.raises(vendor.Refused, match="without its licence"):
        vendor.libraries(pinned)


def test_a_package_that_is_not_the_pinned_one_writes_nothing(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (served / "htmx" / "htmx.min.js").unlink()
    monkeypatch.setattr(vendor, "_pack", lambda package, folder: (Path(folder) / "x.tgz").write_bytes(b"another"))

    with pytest.raises(vendor.Refused, match=r"htmx\.org@2\.0\.11 is sha512-.*, pinned is sha512-"):
        vendor.fetch(vendor.libraries()[0])

    assert not (served / "htmx" / "htmx.min.js").exists()
