"""Work on the cells of a matrix, each in a process of its own, with progress."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ahsar.lab.study.cells import Cell

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
Result = TypeVar("Result")


def in_processes(
    calls: Sequence[tuple[Cell, Callable[[], Result]]], jobs: int, console: Console
) -> Iterator[tuple[Cell, Result]]:
    """Each cell with what its call gave, as they end; `jobs` at a time. A call that fails is said and left out."""
    with Progress(*COLUMNS, console=console) as progress, ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        bar = progress.add_task("cells", total=len(calls))
        waiting = {pool.submit(call): cell for cell, call in calls}
        for future in as_completed(waiting):
            cell = waiting[future]
            try:
                result = future.result()
            except Exception as error:  # one cell's failure does not stop the others
                console.print(f"[red]cell {cell.name}[/]: {type(error).__name__}: {error}", highlight=False)
            else:
                yield cell, result
            progress.advance(bar)
