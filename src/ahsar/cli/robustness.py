"""`ahsar robustness`: a comparison's models, or those of every cell of a matrix, on corrupted test samples."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ahsar.cli.console import COLUMNS, each_cell, print_table
from ahsar.cli.console import console as make_console
from ahsar.cli.options import CORES, Cells, Folder, Jobs, Quick, StudyData, command_line
from ahsar.errors import ResultsError


def robustness(
    target: Folder,
    quick: Quick = False,
    data: StudyData = None,
    cells: Cells = None,
    out: Annotated[Path | None, typer.Option("--out", help="Results folder of the named; default: runs/NAME.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, help="Test samples; 0 for all; default: 500, of a matrix 200.")
    ] = None,
    severities: Annotated[
        str | None, typer.Option("--severities", help="Comma-separated, of 1 to 5; default: all, of a matrix 3.")
    ] = None,
    corruptions: Annotated[str | None, typer.Option("--corruptions", help="Comma-separated; default: all.")] = None,
    jobs: Jobs = CORES,
) -> None:
    """Score kept models (`compare --keep`) on corrupted test samples: scales frozen, and adapting to unlabelled batches."""
    from ahsar.cli.report import folder_of, show_matrix
    from ahsar.lab.results.matrix import about_of, is_matrix
    from ahsar.lab.study.cells import load, names

    if ("/" in target and not target.endswith(".toml")) or Path(target).is_dir():
        folder, source = Path(target), ""
    else:
        folder, source = folder_of(target, quick, out), target
    if not is_matrix(folder):
        return robustness_of(folder, data, 500 if limit is None else limit, severities, corruptions)
    about = about_of(folder)
    if not source and about["name"] not in names():
        raise ResultsError(f"{folder} holds a matrix of your own: give its .toml file, and this folder as --out")
    study = load(source or about["name"], about["quick"])
    ready = [(cell, study.folder(folder, cell)) for cell in study.choose(cells, data)]
    ready = [pair for pair in ready if (pair[1] / "trials.jsonl").exists() and not (pair[1] / "robustness.json").exists()]
    options = (200 if limit is None else limit, severities or "3", corruptions, command_line())
    calls = [(cell, partial(_test, where, cell.source(data), *options)) for cell, where in ready]
    for _ in each_cell(calls, jobs, make_console()):
        pass  # each writes its own page
    show_matrix(folder)


def robustness_of(out: Path, source: Path | None, limit: int, severities: str | None, corruptions: str | None) -> None:
    """Test the models of one comparison, with a progress display; print the table and the page's path."""
    from ahsar.lab.data import check
    from ahsar.lab.report.robustness import page
    from ahsar.lab.results.folder import Results
    from ahsar.lab.study.robustness import measure

    check(Results(out).read_workload(), source)
    console = make_console()
    with Progress(*COLUMNS, console=console) as progress:
        bar = progress.add_task("tests", total=None)
        measured = measure(
            out, source, limit, severities, corruptions, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    summary = page.write(out, {"command": command_line(), **measured})
    print_table(console, page.table(summary))
    for said in page.findings(summary):
        console.print(said)
    console.print(f"page: {(out / 'robustness.html').absolute()}", soft_wrap=True)


def _test(folder: Path, source: Path | None, limit: int, severities: str, corruptions: str | None, command: str) -> None:
    """In a process of its own."""
    import torch

    from ahsar.lab.report.robustness import page
    from ahsar.lab.study.robustness import measure

    torch.set_num_threads(1)
    page.write(folder, {"command": command, **measure(folder, source, limit, severities, corruptions)})
