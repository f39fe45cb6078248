"""Every command in the documents is one that its program takes: options and arguments go through the real parsers."""

import json
import re
import shlex
from collections.abc import Callable, Sequence

import pytest
import yaml
from django.core.management import CommandError, get_commands, load_command_class

from dev.cli import _parser as starter_parser
from tests.support.documents import PAGES_OF_TODAY, ROOT, Block, blocks, commands, relative
from tests.support.openapi import document_of

# Languages of blocks that are no commands. JSON is parsed; diagrams are drawn by tests/unit/dev/test_diagrams.py.
NO_SHELL = {"json", "mermaid", "python", "yaml", "toml", "sql"}
# Blocks without a language that are no commands, by their first line, and why.
NO_COMMANDS = {
    "docs/architecture.md: manage.py, celery_app.py   one entry for every project; the ": "the tree of folders",
    "docs/architecture.md: POST /api/v1/bot/{id}/start                    one transacti": "the way of a command",
    "docs/backup.md: archive_mode = on": "settings of PostgreSQL, which test_point_in_time_recovery.py uses",
    "docs/backup.md: restore_command = 'cp /archive/%f %p'": "the same, of a restore",
}
# Programs that are not ours, and why no parser of theirs is asked.
FOREIGN = {
    "pg_basebackup": "PostgreSQL's; tests/integration/audit/test_point_in_time_recovery.py runs it",
    "kubectl": "of Kubernetes, which the tests do not have; tests/unit/dev/test_chart.py renders and checks the chart",
    ".venv/bin/pre-commit": "installs a hook into this very checkout",
}
# What stands for a value in the documents, and a value of its kind.
PLACEHOLDERS = {
    "CREDENTIAL_ID": "0190b5a0-0000-7000-8000-000000000001",
    "EVENT_ID": "0190b5a0-0000-7000-8000-000000000001",
    "KEY": "0190b5a0-0000-7000-8000-000000000001",
    "ID": "0190b5a0-0000-7000-8000-000000000001",
    "bot:ID": "bot:0190b5a0-0000-7000-8000-000000000001",
}
BLOCKS = [block for block in blocks() if block.language not in NO_SHELL and str(block) not in NO_COMMANDS]
INLINE = [
    pytest.param(code.strip(), id=f"{relative(page)}: {code[:70]}")
    for page in PAGES_OF_TODAY
    for code in re.findall(r"`([^`\n]*)`", page.read_text(encoding="utf-8"))
    if re.search(r"(manage\.py|dev/stack\.py) [a-z]", code) and not re.search(r"\.\.\.|<|\[|COMMAND|-m pdb|eval", code)
]


def test_the_lists_of_blocks_that_are_no_commands_are_needed() -> None:
    assert NO_COMMANDS.keys() - {str(block) for block in blocks()} == set()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_command_of_a_block_is_taken(block: Block) -> None:
    found = commands(block)
    assert found
    assert [problem for problem in map(problem_of, found) if problem] == []


@pytest.mark.parametrize("command", INLINE)
def test_every_command_within_a_sentence_has_options_that_exist(command: str) -> None:
    """Such a command may lack what the sentence does not speak of: its name and its options are checked."""
    words = shlex.split(command)
    if "dev/stack.py" in words:
        starter_parser().parse_args(words[words.index("dev/stack.py") + 1 :])
        return
    program = next(number for number, word in enumerate(words) if word.endswith("manage.py"))
    name, *arguments = words[program + 1 :]
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    known = set(re.findall(r"--[a-z-]+", parser.format_help())) | _options_of_actions(parser)
    assert {word for word in arguments if word.startswith("--")} - known == set()


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "json"], ids=str)
def test_every_json_block_is_json(block: Block) -> None:
    json.loads("\n".join(block.lines))


def test_a_command_that_is_not_there_is_noticed() -> None:
    for wrong in (
        "python manage.py no_such_command",
        "python manage.py audit_verify --no-such-option",
        "python manage.py parked_keys release no-uuid",
        "make no-such-target",
        "make chaos NO_SUCH_VARIABLE=1",
        "python3 dev/stack.py run --no-such-option",
        "docker compose -f docker/no-such-file.yml up",
        "docker compose -f docker/docker-compose.microservices.yml exec no-such-service ls",
        "curl http://127.0.0.1:8080/api/v1/no/such/path",
        "curl http://127.0.0.1:8080/api/v1/auth/login -d '{\"no_such_field\": 1}'",
        "helm upgrade muckard docker/helm/no-such-chart",
        "no-such-program",
    ):
        assert problem_of(wrong), wrong


def problem_of(command: str) -> str | None:
    """What is wrong with a command of a document; None where nothing is."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    program = words[0]
    if program in FOREIGN:
        return None
    checker = CHECKERS.get(program.rsplit("/", 1)[-1])
    return checker(words[1:]) if checker else f"{program}: nobody checks it"


def _python(words: Sequence[str]) -> str | None:
    if words[0] == "manage.py":
        return _managed(words[1:])
    if words[0] == "dev/stack.py":
        return _parsed(starter_parser().parse_args, words[1:])
    return f"python {words[0]}: nobody checks it"


def _managed(words: Sequence[str]) -> str | None:
    name, *arguments = words
    if name not in get_commands():
        return f"manage.py {name} does not exist"
    command = load_command_class(get_commands()[name], name)
    return _parsed(command.create_parser("manage.py", name).parse_args, arguments)


def _parsed(parse: Callable[[list[str]], object], words: Sequence[str]) -> str | None:
    try:
        parse(list(words))
    except (SystemExit, CommandError) as error:
        return f"{' '.join(words)}: {error}"
    return None


def _make(words: Sequence[str]) -> str | None:
    makefile = (ROOT / "Makefile").read_text()
    chaos = "\n".join(path.read_text() for path in (ROOT / "tests" / "chaos").glob("*.py"))
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable and not re.search(rf"\b{name}\b", makefile + chaos):
            return f"make has no variable {name}"
        if not is_variable and not re.search(rf"^{name}:", makefile, re.MULTILINE):
            return f"make has no target {name}"
    return None


def _docker(words: Sequence[str]) -> str | None:
    if words[0] != "compose":
        return f"docker {words[0]}: nobody checks it"
    files = [words[number + 1] for number, word in enumerate(words) if word == "-f"]
    missing = [file for file in files if not (ROOT / file).exists()]
    if missing:
        return f"{missing[0]} does not exist"
    services = {name for file in files for name in yaml.safe_load((ROOT / file).read_text())["services"]}
    rest = list(words[1 + 2 * len(files) :])
    if rest[0] not in {"up", "exec", "run", "restart", "logs"}:
        return f"docker compose {rest[0]}: nobody checks it"
    arguments = [word for word in rest[1:] if word not in {"--build", "--rm", "--detach"}]
    if not arguments:
        return None
    if arguments[0] not in services:
        return f"{arguments[0]} is no service of {', '.join(files)}"
    return problem_of(shlex.join(arguments[1:])) if arguments[1:] else None


def _helm(words: Sequence[str]) -> str | None:
    """The chart and the values of ours exist; tests/unit/dev/test_chart.py renders them."""
    missing = [word for word in words if word.startswith("docker/") and not (ROOT / word).exists()]
    return f"{missing[0]} does not exist" if missing else None


def _curl(words: Sequence[str]) -> str | None:
    url = next(word for word in words if word.startswith("http"))
    path = re.sub(r"^https?://[^/]+", "", url).partition("?")[0]
    if path == "/health":
        return None
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1].lower() if "-X" in words else "post" if body else "get"
    for service in ("user", "kraken"):
        document = document_of(service)
        operation = document["paths"].get(path, {}).get(method)
        if operation:
            return _body_problem(document, operation, json.loads(body)) if body else None
    return f"the API has no {method.upper()} {path}"


def _body_problem(document: dict, operation: dict, body: dict) -> str | None:  # type: ignore[type-arg]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    unknown = body.keys() - schema["properties"].keys()
    missing = set(schema.get("required", ())) - body.keys()
    return f"fields: unknown {sorted(unknown)}, missing {sorted(missing)}" if unknown | missing else None


def _options_of_actions(parser: object) -> set[str]:
    """The options of a parser's sub-commands, which its own help does not show."""
    found: set[str] = set()
    for action in getattr(parser, "_actions", ()):
        for each in getattr(action, "choices", None) or ():
            sub = action.choices[each] if isinstance(action.choices, dict) else None
            found |= set(re.findall(r"--[a-z-]+", sub.format_help())) if sub is not None else set()
    return found


CHECKERS: dict[str, Callable[[Sequence[str]], str | None]] = {
    "python": _python,
    "python3": _python,
    "make": _make,
    "docker": _docker,
    "curl": _curl,
    "helm": _helm,
}
