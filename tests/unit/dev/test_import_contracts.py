"""What `make check` says about an import that breaks a contract."""

import shutil
import subprocess
import tomllib
from pathlib import Path

from dev.base.profile import ROOT
from dev.install import installer
from dev.run.checks import Check

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_every_contract_says_what_to_do_when_it_is_broken() -> None:
    assert [contract["name"] for contract in CONTRACTS if not contract.get("broken_contract_guidance")] == []


def test_a_broken_layer_names_the_rule_the_import_with_its_line_and_what_to_do(tmp_path: Path) -> None:
    contract = next(each for each in CONTRACTS if each["name"] == "Layers of the local stack's starter")
    shutil.copytree(ROOT / "dev", tmp_path / "dev", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "dev" / "base" / "errors.py"
    module.write_text("from dev.run import starter\n" + module.read_text())
    config = tmp_path / "contracts.toml"
    layers = ", ".join(f'"{layer}"' for layer in contract["layers"])
    config.write_text(
        f"""[tool.importlinter]
root_packages = ["dev"]
[[tool.importlinter.contracts]]
name = "{contract["name"]}"
type = "layers"
containers = ["dev"]
layers = [{layers}]
broken_contract_guidance = "{contract["broken_contract_guidance"]}"
"""
    )
    given = {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
    command = [str(installer.VENV / "bin" / "lint-imports"), "--no-cache", "--config", str(config)]

    done = subprocess.run(command, env=given, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Layers of the local stack's starter BROKEN" in done.stdout
    assert "dev.base.errors -> dev.run.starter (l.1)" in done.stdout
    assert contract["broken_contract_guidance"] in done.stdout


def test_a_failed_check_shows_whole_what_its_program_printed() -> None:
    script = "print('\\n'.join(map(str, range(500)))); raise SystemExit(3)"

    passed, shown = Check("x", ("python", "-c", script)).run({})

    assert not passed
    assert shown.splitlines() == [str(number) for number in range(500)]
