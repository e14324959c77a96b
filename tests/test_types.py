"""A type checker knows the types of what the package exports, as `py.typed` promises to its users."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ahsar

pytest.importorskip("pyright")

KNOWN = 0.95  # of all exported symbols; what other packages leave unknown in their own classes is not counted


def exported() -> dict[str, Any]:
    """What pyright says of this package's exported symbols."""
    package = Path(ahsar.__file__).parent
    # it takes the packages of the first `python` on the path, whatever its options say
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", "ahsar", "--ignoreexternal", "--outputjson"],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(package.parent), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
    )
    report = json.loads(found.stdout)["typeCompleteness"]
    assert Path(report["packageRootDirectory"]) == package, found.stderr
    return report


def test_the_types_of_exported_names_are_known() -> None:
    report = exported()
    counts = report["exportedSymbolCounts"]
    assert sum(counts.values()) > 1500  # all of them are looked at
    unknown = [
        f"{symbol['name']}: {why['message']}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
        for why in symbol["diagnostics"]
    ]
    assert counts["withKnownType"] >= KNOWN * sum(counts.values()), "\n".join(["write annotations:", *unknown])
