"""Mail as files, for development without a mail server."""

import os
from typing import Any

from django.core.mail.backends.filebased import EmailBackend


class OwnerOnlyEmailBackend(EmailBackend):
    """Django's, with files that only their owner can read: mail holds codes that open accounts."""

    stream: Any

    def open(self) -> bool:
        if self.stream is not None:
            return False
        descriptor = os.open(self._get_filename(), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)  # type: ignore[attr-defined]
        self.stream = os.fdopen(descriptor, "ab")
        return True
