"""Mails of the running platform, which writes them to files where there is no mail server."""

import re
from email import message_from_bytes, policy
from urllib.parse import urlsplit

from django.conf import settings

from tests.support.waiting import eventually


def mails_to(email: str) -> list[str]:
    """Their texts, oldest first."""
    files = sorted((settings.BASE_DIR / ".local" / "mail").glob("*.log"), key=lambda file: file.stat().st_mtime_ns)
    contents = [content for file in files if f"To: {email}".encode() in (content := file.read_bytes())]
    return [message_from_bytes(content, policy=policy.default).get_content() for content in contents]


def mailed_link(email: str, page: str) -> str:
    """Path and query of the last link to this page of the console that was mailed there, once there is one."""

    def find() -> list[str]:
        return [link for text in mails_to(email) for link in re.findall(rf"https?://\S+/app/{page}\?token=\S+", text)]

    parts = urlsplit(eventually(find, what=f"the mail with a link to {page}")[-1])
    return f"{parts.path}?{parts.query}"
