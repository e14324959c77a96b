"""`ahsar report`: the page of a comparison or a matrix, written anew from its trials."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ahsar.cli.console import console as make_console
from ahsar.cli.console import print_json, print_table
from ahsar.cli.options import Json, Quick, command_line
from ahsar.errors import ResultsError


def report(
    folders: Annotated[
        list[str],
        typer.Argument(help="Results folders, or workloads or matrices by name (runs/NAME); several give one combined page."),
    ],
    quick: Quick = False,
    out: Annotated[Path | None, typer.Option("--out", help="A name's results folder; of several, the combined page's.")] = None,
    as_json: Json = False,
) -> None:
    """Write summary.json, report.html and the pictures anew from finished trials, or the page of a matrix or a population."""
    from ahsar.lab.report.comparison import page
    from ahsar.lab.report.matrix import page as matrix_page
    from ahsar.lab.results.matrix import is_matrix
    from ahsar.lab.results.population import is_population

    several = len(folders) > 1
    outs = [folder_of(target, quick, None if several else out) for target in folders]
    for folder in outs:
        alone = as_json and not several
        if is_matrix(folder):
            show_matrix(folder, alone)
        elif is_population(folder):
            show_population(folder, alone)
        else:
            make_console(as_json).print(page.write(folder), soft_wrap=True)
            if alone:
                _print_file(folder / "summary.json")
    if several:
        combined = matrix_page.combine(outs, out or Path("runs/combined"), command_line())
        make_console(as_json).print(combined, soft_wrap=True)
        if as_json:
            _print_file(combined.with_suffix(".json"))


def _print_file(path: Path) -> None:
    print_json(json.loads(path.read_text(encoding="utf-8")))


def folder_of(target: str, quick: bool, out: Path | None) -> Path:
    """The results folder that a command line means: a folder, or that of a workload or matrix.

    Raises:
        ResultsError: there is none.
    """
    from ahsar.lab.spec import workload
    from ahsar.lab.study import cells

    folder = Path(target)
    if not folder.is_dir() and (target.endswith(".toml") or target in (*workload.names(), *cells.names())):
        folder = out or cells.load(target, quick).out
    if not folder.is_dir():
        raise ResultsError(f"{folder}: no such folder; give the --out of a comparison")
    return folder


def show_comparison(out: Path, as_json: bool = False) -> None:
    """Write a comparison's page and print its table, what it says and where it is.

    Raises:
        ResultsError: every trial failed.
    """
    from ahsar.lab.report.comparison import page, summary, words

    console = make_console(as_json)
    written = page.write(out)
    numbers = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    print_table(console, summary.table(numbers), summary.table(numbers, brief=True))
    for said in (words.headline(numbers), *words.findings(numbers)):
        console.print(said)
    console.print(f"report: {written.absolute()}", soft_wrap=True)
    if as_json:
        print_json(numbers)
    if not any(arm["n"] for arm in numbers["arms"].values()):
        raise ResultsError(f"every trial failed; the errors are in {out / 'trials.jsonl'}")


def show_matrix(out: Path, as_json: bool = False) -> None:
    """Write a matrix's page from the cells that ran, and print what it says and where it is."""
    from ahsar.lab.report.matrix import page

    console = make_console(as_json)
    written = page.write(out)
    numbers = json.loads((out / "matrix.json").read_text(encoding="utf-8"))
    for said in (page.headline(numbers), *page.findings(numbers)):
        console.print(said)
    console.print(f"page: {written.absolute()}", soft_wrap=True)
    if as_json:
        print_json(numbers)


def show_population(out: Path, as_json: bool = False) -> None:
    """Write a population's page from the trials that ended, and print what it says and where it is."""
    from ahsar.lab.report.population import page

    console = make_console(as_json)
    written = page.write(out)
    numbers = json.loads((out / "population.json").read_text(encoding="utf-8"))
    for said in (page.headline(numbers), *page.findings(numbers)):
        console.print(said)
    console.print(f"page: {written.absolute()}", soft_wrap=True)
    if as_json:
        print_json(numbers)
