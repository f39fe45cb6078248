"""What one check found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """`check` says what was looked at, like `dependency redis`; `advice`, for a problem, what to do."""

    check: str
    ok: bool
    detail: str = ""
    advice: str = ""


def problem(check: str, detail: str, advice: str) -> Outcome:
    return Outcome(check, False, detail, advice)
