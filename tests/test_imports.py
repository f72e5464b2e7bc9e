"""The contracts of import-linter hold, and each of them fails when a wrong import is planted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def copy(tmp_path):
    """A copy of the sources in which a test may plant what it likes."""
    for name in ("kv_core", "integrations", "example_projects"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder):
    """Check the contracts in a folder, and return the exit status and the report."""
    path = os.pathsep.join([str(folder), str(folder / "integrations")])  # before an editable install of the real one
    command = [sys.executable, str(LINT_IMPORTS), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_contracts_hold(copy):
    """Nobody imports from a room that is not theirs to enter."""
    status, report = lint(copy)

    assert status == 0, report
    assert "0 broken" in report


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("kv_core/errors.py", "import kv_django", "examples > integrations > core"),
        ("integrations/kv_flask/__init__.py", "import kv_django", "examples > integrations > core"),
        ("integrations/kv_flask/__init__.py", "import example_projects", "examples > integrations > core"),
        ("kv_core/sync/protocols/__init__.py", "import kv_core.aio.protocols", "roof > sides > pure modules"),
        ("kv_core/aio/stores/memory.py", "import kv_core.registry", "roof > sides > pure modules"),
        ("kv_core/entry.py", "import kv_core.aio.protocols", "roof > sides > pure modules"),
        ("kv_core/aio/stores/memory.py", "import kv_core.aio.wrappers.base", "inside a side"),
        ("kv_core/aio/protocols/__init__.py", "import kv_core.aio.stores.memory", "inside a side"),
        ("kv_core/url.py", "def late():\n    import flask", "the core knows no web framework"),
    ],
)
def test_a_wrong_import_is_found(copy, module, line, contract):
    """A planted import breaks the contract that forbids it."""
    with (copy / module).open("a") as source:
        source.write(f"\n\n{line}\n")

    status, report = lint(copy)

    assert status == 1, report
    assert any(row.startswith(contract) and row.endswith("BROKEN") for row in report.splitlines()), report


def test_an_unplaced_module_is_found(copy):
    """A new module of the core has to say in the contracts which room it belongs to."""
    (copy / "kv_core" / "attic.py").write_text("")

    status, report = lint(copy)

    assert status == 1, report
    assert "attic" in report
