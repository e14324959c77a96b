"""`ahsar tune`: the baseline's learning rate and the target of a workload, or of every cell of a matrix."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ahsar.cli.console import console as make_console
from ahsar.cli.console import each_cell, going_on, print_json
from ahsar.cli.options import CORES, Cells, Jobs, Json, Out, Quick, StudyData
from ahsar.cli.options import Study as Name
from ahsar.errors import WorkloadError
from ahsar.files import write_whole

if TYPE_CHECKING:
    from ahsar.lab.study.cells import Cell


def tune(
    name: Name,
    quick: Quick = False,
    data: StudyData = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Baseline seeds from 1000 on; default: 5, of a matrix 2.")
    ] = None,
    rates: Annotated[
        str | None,
        typer.Option("--lr", help="Learning rates to try; default: 5e-4 to 2e-2; of a matrix on from those of its cells."),
    ] = None,
    cells: Cells = None,
    out: Out = None,
    jobs: Jobs = CORES,
    as_json: Json = False,
) -> None:
    """Find the baseline's learning rate and the target to freeze, on seeds never compared; of a matrix, in OUT/tuned.toml."""
    from ahsar.lab.study.cells import load
    from ahsar.lab.study.tune import FIRST_SEED, LRS
    from ahsar.lab.trial.ranks import refuse

    refuse("tune")
    try:
        grid = None if rates is None else [float(rate) for rate in rates.split(",")]
    except ValueError:
        raise WorkloadError(f"--lr {rates!r}: give numbers with commas between, e.g. 1e-3,2e-3") from None
    study = load(name, quick)
    chosen = study.choose(cells, data)
    numbers = range(FIRST_SEED, FIRST_SEED + (seeds or (2 if study.is_matrix else 5)))
    if not study.is_matrix:
        return _tune_workload(chosen[0], data, grid or LRS, numbers, as_json)
    folder = out or study.out
    with going_on(folder, "tuned cells"):
        _tune_matrix(chosen, data, folder, jobs, grid, numbers, as_json)


def _tune_workload(cell: "Cell", source: Path | None, lrs: Sequence[float], seeds: Sequence[int], as_json: bool) -> None:
    """Print what the workload should freeze."""
    import torch

    from ahsar.lab.data import check
    from ahsar.lab.study.tune import tune

    check(cell.workload, source)
    torch.set_num_threads(1)  # as a comparison's trials
    console = make_console(as_json)
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console) as progress:
        bar = progress.add_task("trials", total=len(lrs) * len(seeds))
        result = tune(cell.workload, source, lrs, seeds, lambda: progress.advance(bar))
    print_json(result)
    if result["at_end"]:
        console.print(f"the best learning rate, {result['lr']:g}, is at the end of those tried: try more with --lr")


def _tune_matrix(
    cells: "Sequence[Cell]",
    root: Path | None,
    out: Path,
    jobs: int,
    lrs: Sequence[float] | None,
    seeds: Sequence[int],
    as_json: bool,
) -> None:
    """Try what `out`/tuning lacks, cells beside each other, and write `out`/tuned.toml, the file to keep beside the matrix."""
    from ahsar.lab.study.tune import missing_rate, tune_cell, tuned, tuned_text

    console = make_console(as_json)
    files = {cell.name: out / "tuning" / f"{cell.name}.json" for cell in cells}
    known: dict[str, dict] = {cell.name: {"rates": [], "trials": []} for cell in cells}
    known |= {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.exists()}
    missing = [cell for cell in cells if missing_rate(cell, known[cell.name], lrs) is not None]
    calls = [(cell, partial(tune_cell, cell, cell.source(root), known[cell.name], lrs, seeds)) for cell in missing]
    for cell, result in each_cell(calls, jobs, console):
        known[cell.name] = result
        write_whole(files[cell.name], json.dumps(result))
        rates = sorted(result["rates"], key=lambda rate: rate["lr"])
        said = " ".join(f"{rate['lr']:g}: {rate['best']:.3f}" for rate in rates)
        console.print(f"{cell.name}: {said}")
    frozen = {cell.name: tuned(cell, rates) for cell in cells if (rates := known[cell.name]["rates"])}
    written = write_whole(out / "tuned.toml", tuned_text({"quick" if cells[0].workload.quick else "full": frozen}))
    console.print(f"tuned: {written}; keep it beside the matrix as NAME.tuned.toml", soft_wrap=True)
    if as_json:
        print_json(frozen)
