"""Where the command line prints, and how it shows progress: the terminal, or a file or pipe, which has no width of its own."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from ahsar.lab.study.cells import Cell

WIDTH = 110  # of what goes to a file or a pipe; the comparison's whole table fits
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
Result = TypeVar("Result")


def console(aside: bool = False) -> Console:
    """A rich console of the terminal's width; `COLUMNS` decides first.

    Args:
        aside: print to stderr, where stdout is to hold JSON alone.
    """
    terminal = Console(stderr=aside)
    return terminal if terminal.is_terminal or "COLUMNS" in os.environ else Console(width=WIDTH, stderr=aside)


def print_json(value: Any) -> None:
    """Print JSON to stdout, for a program to read."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def each_cell(
    calls: "Sequence[tuple[Cell, Callable[[], Result]]]", jobs: int, shown: Console
) -> "Iterator[tuple[Cell, Result]]":
    """Each cell with what its call gave, in processes and with a progress display; a cell that failed is said and left out."""
    from ahsar.lab.study.pool import in_processes

    with Progress(*COLUMNS, console=shown) as progress:
        bar = progress.add_task("cells", total=len(calls))
        for cell, result in in_processes(calls, jobs):
            if isinstance(result, Exception):
                shown.print(f"[red]cell {cell.name}[/]: {type(result).__name__}: {result}", highlight=False)
            else:
                yield cell, result
            progress.advance(bar)
