"""The table of processes in docs/architecture.md, written from the process table.

`python -m dev.config.process_docs` says whether the page is up to date, with `--write` it brings it there.
"""

import sys
from collections.abc import Mapping

from apps.core.process_table import PROCESSES, Process
from dev.base.profile import ROOT, write_atomically

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- process table: begin -->", "<!-- process table: end -->"
HEADER = """\
| process | started as | `SERVICE` | database role | port | `/metrics` | instances | does |
|---|---|---|---|---|---|---|---|"""


def table(processes: Mapping[str, Process]) -> str:
    """The table in Markdown, one line a process."""
    return "\n".join([HEADER, *(_line(process) for process in processes.values())])


def with_table(page: str, processes: Mapping[str, Process]) -> str:
    """The page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(processes)}\n{END}{after}"


def _line(process: Process) -> str:
    cells = (
        process.name,
        _started_as(process),
        process.service,
        process.role,
        str(process.port or ""),
        str(process.metrics_port or (process.port if process.service else "") or ""),
        process.replicas,
        process.does,
    )
    return f"| {' | '.join(cell or '–' for cell in cells)} |"


def _started_as(process: Process) -> str:
    match process.kind:
        case "web" if process.server == "uvicorn":
            return f"uvicorn `{process.project}`"
        case "web":
            return f"gunicorn `{process.project}`"
        case "command":
            return f"`manage.py {process.management_command}`"
        case "worker":
            return f"Celery, queues {', '.join(process.queues)}"
        case "flower":
            return "Flower"
        case "gateway":
            return "nginx, `nginx/`"


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    wanted = with_table(page, PROCESSES)
    if page == wanted:
        return 0
    if "--write" in sys.argv:
        write_atomically(PAGE, wanted)
        return 0
    print(f"{PAGE.relative_to(ROOT)} has another table of processes than apps/core/processes.toml.")
    print("Write it again: .venv/bin/python -m dev.config.process_docs --write")
    return 1


if __name__ == "__main__":
    sys.exit(main())
