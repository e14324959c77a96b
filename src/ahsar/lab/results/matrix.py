"""The results folder of a matrix: matrix-about.json says what it belongs to, and every cell has a results folder in it."""

import json
from pathlib import Path
from typing import Any

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.results import provenance
from ahsar.lab.results.folder import commands_after, read_about

ABOUT = "matrix-about.json"


def take(
    out: Path, name: str, quick: bool, cells: dict[str, dict[str, str]], command: str, one_constant: float | None = None
) -> None:
    """Note what the folder belongs to: the matrix, its budget, its one constant and its cells, each with the names of its axes.

    Raises:
        ResultsError: it holds another matrix, or this one with another budget.
    """
    check(out, name, quick)
    known = about_of(out) if is_matrix(out) else {}
    about = {"name": name, "quick": quick, **commands_after(known, command), "one_constant": one_constant, "cells": cells}
    write_whole(out / ABOUT, json.dumps({**about, "versions": provenance.versions()}, indent=1))


def check(out: Path, name: str, quick: bool) -> None:
    """Raises ResultsError if the folder holds another matrix, or this one with another budget."""
    if is_matrix(out):
        known = about_of(out)
        if (known.get("name"), known.get("quick")) != (name, quick):
            raise ResultsError(f"{out} holds matrix {known.get('name')!r} of another budget or name: give another --out")


def about_of(out: Path) -> dict[str, Any]:
    """What `take` noted; raises ResultsError if there is nothing."""
    if not (out / ABOUT).is_file():
        raise ResultsError(f"{out}: holds no matrix: give the --out of `ahsar compare MATRIX`")
    return read_about(out / ABOUT, "give the --out of `ahsar compare MATRIX`", name=str, quick=bool, cells=dict)


def is_matrix(out: Path) -> bool:
    """Whether a folder holds the results of a matrix."""
    return (out / ABOUT).exists()
