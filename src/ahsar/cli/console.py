"""Where the command line prints, and how it shows tables and progress: the terminal, or a file or pipe, which has no width."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ahsar.cli.options import Interrupted

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
    make = partial(Console, stderr=aside, markup=False, emoji=False, highlight=False)  # [brackets] and :colons: are text
    terminal = make()
    return terminal if terminal.is_terminal or "COLUMNS" in os.environ else make(width=WIDTH)


def print_table(shown: Console, *tables: Table) -> None:
    """Print the first of some tables whose words fit beside each other; where none does, the first, row under row. Words are
    never cut."""
    for table in tables:
        if _fits(shown, table):
            return shown.print(table)
    whole = tables[0]
    if whole.title:
        shown.print(whole.title, style="table.title")
    cells = zip(*(column.cells for column in whole.columns), strict=True)
    for row, values in zip(whole.rows, cells, strict=True):
        stacked = Table.grid(padding=(0, 2, 0, 0))
        stacked.add_column(style="dim", max_width=shown.width // 2, overflow="fold")
        stacked.add_column(overflow="fold")
        for column, value in zip(whole.columns, values, strict=True):
            if value:
                stacked.add_row(column.header, value)
        shown.print(stacked, style=row.style)
        shown.print()
    if whole.caption:
        shown.print(whole.caption, style="table.caption")


def _fits(shown: Console, table: Table) -> bool:
    """Whether all words fit, and all numbers, which stand on the right; then columns get the room that they need, the rest
    going where cells would be tallest."""
    wide = shown.options.update(max_width=10_000)
    most, given = [], []
    for column in table.columns:
        head, *cells = (Measurement.get(shown, wide, cell) for cell in (column.header, *column.cells))
        most.append(max(cell.maximum for cell in (head, *cells)))
        whole = column.no_wrap or column.justify == "right"
        needed = [cell.maximum if whole else cell.minimum for cell in cells]
        given.append(max([head.maximum if column.no_wrap else head.minimum, *needed]))
    lines = Measurement.get(shown, wide, table).maximum - sum(most)  # what stands between columns
    spare = shown.width - lines - sum(given)
    for _ in range(min(spare, sum(most) - sum(given))):
        given[max(range(len(given)), key=lambda i: most[i] / given[i])] += 1
    for column, width in zip(table.columns, given, strict=True):
        column.width = width
    return spare >= 0


def say(shown: Console, what: str, style: str, rest: str) -> None:
    """Print a line that begins with a styled word or two."""
    shown.print(Text.assemble((what, style), rest))


@contextmanager
def going_on(folder: Path, kept: str) -> Iterator[None]:
    """Ctrl-C within says that what is done is kept in a folder, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {kept} are kept in {folder}: run the same command to go on") from None


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
                say(shown, f"cell {cell.name}", "red", f": {type(result).__name__}: {result}")
            else:
                yield cell, result
            progress.advance(bar)
