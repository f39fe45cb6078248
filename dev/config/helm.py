"""Renders the Helm chart by Helm's own library, and checks the result as an API server of Kubernetes would.

Runs in the venv: `python -m dev.config.helm` checks the default and the production values; with `--write` it first
brings the chart's copies of other files up to date, as Helm reads no file outside a chart. With `--render` it reads a
JSON list of values and writes what each becomes. The library is a Go runtime, which is kept out of other processes so.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml

from apps.core.process_table import PROCESSES
from dev.base.profile import ROOT, write_atomically
from dev.config.chart import Manifest, differences

FOLDER = ROOT / "docker" / "helm" / "muckard"
COPIES = FOLDER / "files"
VALUES = {"default": FOLDER / "values.yaml", "production": FOLDER / "values-production.yaml"}
KUBERNETES_VERSION = "1.35"
# Resources of operators, of which Kubernetes has no schema
FOREIGN = frozenset({"PodMonitor", "ScaledObject", "TriggerAuthentication"})
RELEASE, NAMESPACE = "muckard", "trade"
WARNING = 2


class ChartRefused(Exception):
    """The chart does not take these values. The text is Helm's."""


def render(values: Mapping[str, Any]) -> list[Manifest]:
    """What `helm install` would send to the cluster, hooks included. Raises ChartRefused."""
    try:
        with helm_python.Chart.load(FOLDER) as chart:
            chart.validate_schema(dict(values))
            texts = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        raise ChartRefused(str(error)) from None
    manifests = [text for name, text in sorted(texts.items()) if name.endswith(".yaml")]
    # The parser in C: thousands of lines a rendering
    return [each for text in manifests for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def invalid(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A sentence for each manifest that an API server would refuse, unknown fields included."""
    for manifest in manifests:
        if manifest["kind"] in FOREIGN:
            continue
        try:
            kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{manifest['kind']} {manifest['metadata']['name']}: Kubernetes refuses it: {error.message}"


def originals() -> dict[Path, Path]:
    """Each file that the chart has to carry, and what it is a copy of."""
    nginx = {COPIES / "nginx" / path.name: path for path in (ROOT / "nginx").iterdir()}
    return {COPIES / "processes.toml": ROOT / "apps" / "core" / "processes.toml", **nginx}


def outdated() -> list[Path]:
    """Copies that are missing, that differ from their original or have none."""
    known = originals()
    there = {path for path in COPIES.rglob("*") if path.is_file()}
    differing = {
        copy for copy, original in known.items() if copy in there and copy.read_bytes() != original.read_bytes()
    }
    return sorted(differing | (known.keys() ^ there))


def copy() -> None:
    """Brings the chart's copies up to date."""
    known = originals()
    for path in outdated():
        if path in known:
            write_atomically(path, known[path].read_text(encoding="utf-8"), mode=0o644)
        else:
            path.unlink()


def problems() -> Iterator[str]:
    """All that is wrong with the chart, with each of its files of values."""
    for path in outdated():
        yield f"{path.relative_to(ROOT)} is not what it is a copy of: run .venv/bin/python -m dev.config.helm --write"
    for title, path in VALUES.items():
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            manifests = render(values)
        except ChartRefused as error:
            yield f"{title} values: {error}"
            continue
        messages = helm_python.lint(FOLDER, values, strict=True)["messages"]
        linted = [f"{each['path']}: {each['error']}" for each in messages if each["severity"] >= WARNING]
        for sentence in (*invalid(manifests), *differences(manifests, PROCESSES), *linted):
            yield f"{title} values: {sentence}"


def _rendered(values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"manifests": render(values)}
    except ChartRefused as error:
        return {"refused": str(error)}


def main() -> int:
    if "--render" in sys.argv:
        json.dump([_rendered(values) for values in json.load(sys.stdin)], sys.stdout)
        return 0
    if "--write" in sys.argv:
        copy()
    found = list(problems())
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
