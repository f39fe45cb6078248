"""Where PostgreSQL keeps the data of a profile. Its account, which is not root, must be able to reach the folder."""

import hashlib
import os
import pwd
import stat
from pathlib import Path

from dev.base.profile import ROOT, Profile

# The account of the distribution's package: PostgreSQL refuses to run as root.
ACCOUNT = "postgres"


def of(profile: Profile) -> Path:
    """The folder that holds the data. As root in a checkout that ACCOUNT may not enter: one below /var/tmp."""
    inside = profile.folder / "postgres"
    if os.geteuid() != 0 or _may_enter(profile.folder):
        return inside
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"muckard-{checkout}" / profile.name / "postgres"  # noqa: S108 (ours, 0700)  # nosec B108


def _may_enter(folder: Path) -> bool:
    """Whether every folder from the root down to this one lets ACCOUNT through."""
    try:
        account = pwd.getpwnam(ACCOUNT).pw_uid
    except KeyError:
        account = -1
    for each in (folder, *folder.parents):
        if each.exists():
            status = each.stat()
            mine = status.st_uid == account and status.st_mode & stat.S_IXUSR
            if not (mine or status.st_mode & stat.S_IXOTH):
                return False
    return True
