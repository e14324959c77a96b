"""Work on the cells of a study, each in a process of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from ahsar.lab.study.cells import Cell

Result = TypeVar("Result")


def in_processes(calls: Sequence[tuple[Cell, Callable[[], Result]]], jobs: int) -> Iterator[tuple[Cell, Result | Exception]]:
    """Each cell with what its call gave, as they end; `jobs` at a time. A call that fails gives its error instead."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        waiting = {pool.submit(call): cell for cell, call in calls}
        for future in as_completed(waiting):
            try:
                result = future.result()
            except Exception as error:  # one cell's failure does not stop the others
                result = error
            yield waiting[future], result
