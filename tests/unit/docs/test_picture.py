"""The README shows the platform, by a picture that a browser test has made."""

import re

from dev.base.profile import ROOT


def test_the_pictures_of_the_readme_exist_and_are_light() -> None:
    named = re.findall(r"!\[[^]]+\]\(([^)]+\.png)\)", (ROOT / "README.md").read_text())

    assert named
    assert {name for name in named if (ROOT / name).stat().st_size > 200_000} == set()
