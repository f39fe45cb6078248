from collections.abc import Callable
from pathlib import Path

import pytest

from dev.base import profile as profiles


@pytest.fixture
def make_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., profiles.Profile]:
    """Profiles below a folder of the test's own."""
    monkeypatch.setattr(profiles, "LOCAL", tmp_path)

    def make(name: str = "run", environ: dict[str, str] | None = None, offset: int | None = None) -> profiles.Profile:
        return profiles.load(name, environ or {}, offset)

    return make
