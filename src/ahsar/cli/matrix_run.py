"""`ahsar matrix`: run a matrix cell by cell with progress, test its models, and write its page."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from ahsar.cli.console import console as make_console
from ahsar.errors import AhsarError, ResultsError
from ahsar.files import write_whole
from ahsar.lab.results import provenance
from ahsar.lab.results.schema import name_of
from ahsar.lab.study import cells as matrix
from ahsar.lab.study import compare
from ahsar.lab.study.cells import Cell
from ahsar.lab.study.compare import Plan
from ahsar.lab.study.pool import COLUMNS, in_processes


def run_matrix(name: str, cells: Sequence[Cell], chosen: Sequence[Cell], template: Plan, root: Path | None) -> None:
    """Run the chosen cells, or what of them is missing, then write the page over all that ran.

    A cell that cannot run is said and does not stop the others.

    Raises:
        ResultsError: `template.out` holds another matrix, or no chosen cell can run.
    """
    console = make_console()
    out = template.out
    _take(out, name, cells, template)
    ready, errors = [], {}
    for cell in chosen:
        try:
            ready.append(compare.prepare(matrix.plan(cell, template, root)))
        except AhsarError as error:
            errors[cell.name] = str(error)
            console.print(f"[red]cell {cell.name}[/]: {error}", highlight=False)
    if not ready:
        raise ResultsError(f"no cell can run; the first, {chosen[0].name}: {errors[chosen[0].name]}")
    total = sum(len(one.plan.trials) for one in ready)
    ended_count = total - sum(len(one.missing) for one in ready)
    with Progress(*COLUMNS, console=console) as progress:
        bar = progress.add_task("trials", total=total, completed=ended_count)

        def update(steps: dict[str, int], ended: list[dict[str, Any]]) -> None:
            for record in ended:
                text = f"{record['workload']} {record['trial']}"
                progress.update(bar, advance=1, description=text)
                if record["status"] == "failed":
                    progress.console.print(f"[red]{text} failed[/]: {record['error']}", highlight=False)

        try:
            compare.run(ready, update)
        finally:
            for one in ready:
                if all(one.results.finished(name_of(*pair)) for pair in one.plan.trials):
                    compare.merge(one.plan)
    show(out)


def show(out: Path) -> None:
    """Write the page anew from the cells that ran, and print what it says."""
    from ahsar.lab.report.matrix import page as report

    console = make_console()
    page = report.write(out)
    found = json.loads((out / "matrix.json").read_text(encoding="utf-8"))
    for said in (report.headline(found), *report.findings(found)):
        console.print(said, highlight=False)
    console.print(f"page: {page.absolute()}", soft_wrap=True)


def _take(out: Path, name: str, cells: Sequence[Cell], template: Plan) -> None:
    """Note what the folder belongs to."""
    path = out / "matrix-about.json"
    about = {
        "name": name,
        "quick": cells[0].workload.quick,
        "command": template.command,
        "cells": {cell.name: cell.axes for cell in cells},
        "versions": provenance.versions(),
    }
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if (known.get("name"), known.get("quick")) != (about["name"], about["quick"]):
            raise ResultsError(f"{out} holds matrix {known.get('name')!r} of another budget or name: give another --out")
    write_whole(path, json.dumps(about, indent=1))


def test_matrix(cells: Sequence[Cell], root: Path | None, out: Path, jobs: int, limit: int, severities: str) -> None:
    """Score the kept models of every cell on corrupted samples; cells that cannot be are said and left out."""
    ready = [cell for cell in cells if (out / cell.name / "trials.jsonl").exists()]
    ready = [cell for cell in ready if not (out / cell.name / "robustness.json").exists()]
    calls = [(cell, partial(_test, out / cell.name, cell.source(root), limit, severities)) for cell in ready]
    for _ in in_processes(calls, jobs, make_console()):
        pass  # each writes its own page
    show(out)


def _test(folder: Path, source: Path | None, limit: int, severities: str) -> None:
    """In a process of its own."""
    import torch

    from ahsar.lab.report.robustness import page as report
    from ahsar.lab.study.robustness import measure

    torch.set_num_threads(1)
    report.write(folder, measure(folder, source, limit, severities))
