"""The study of a population: its cells are the draws, each compared on its one seed; nothing is tuned."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ahsar.errors import WorkloadError
from ahsar.lab import arms, data
from ahsar.lab.data import Splits
from ahsar.lab.results import population as folder
from ahsar.lab.results.population import Net
from ahsar.lab.spec.population import Draw, Population
from ahsar.lab.study.cells import Cell, Study
from ahsar.lab.study.compare import Plan, Prepared, plan_of, prepare

ARMS = tuple(arms.PLACEBOS)  # `constant` is the distribution's grid


def study_of(population: Population, first: int, count: int, *, verdict: bool = False, times: int = 1) -> Study:
    """Draws `first` ... `first + count - 1` as the cells of a study.

    Args:
        verdict: whether these are to be the draws that are run once.
        times: how much longer than drawn each is trained.

    Raises:
        WorkloadError: draws of both blocks, or those of the verdict without saying so, or the other way about.
    """
    last = first + count - 1
    if population.is_for_verdict(first) != population.is_for_verdict(last):
        raise WorkloadError(
            f"draws {first} to {last}: those from {population.verdict} on are a block of their own; run them apart"
        )
    if population.is_for_verdict(first) and not verdict:
        raise WorkloadError(
            f"draws from {population.verdict} on are for the verdict: run them once, when nothing is chosen any more, and say "
            "so with --verdict; take others to develop on"
        )
    if verdict and not population.is_for_verdict(first):
        raise WorkloadError(f"--verdict: draw {first} is for development; the verdict's begin at --first {population.verdict}")
    cells = [_cell(population.draw(number), population.has_rivals(number), times) for number in range(first, first + count)]
    return Study(population.name + "-verdict" * verdict + f"-times-{times}" * (times > 1), tuple(cells))


def _cell(draw: Draw, rivals: bool, times: int) -> Cell:
    spec = draw.workload
    spec = replace(spec, budget=replace(spec.budget, steps=times * spec.budget.steps))
    return Cell(spec.name, spec, draw.path, spec.optimizer.lr, 0.0, tuned=True, rivals=rivals, axes=draw.axes)


def plans_of(
    study: Study, template: Plan, root: Path | None, names: Sequence[str] | None = None, *, rivals: bool = False
) -> list[Plan]:
    """The comparison of each draw, below the template's folder.

    Args:
        root: a folder that holds the data; None for public names.
        names: of arms, as `arms.expand` takes them; None for the usual ones.
        rivals: whether all rivals run too, in the first draws of a block.

    Raises:
        WorkloadError: an arm is unknown.
        DataError: data is not below `root`.
    """
    wanted = list(names or ARMS)
    return [
        plan_of(study, cell, template, root, [*wanted, arms.ALL_RIVALS] if rivals and cell.rivals else wanted)
        for cell in study.cells
    ]


def prepare_all(
    population: Population, study: Study, plans: Sequence[Plan], out: Path, *, verdict: bool = False, times: int = 1
) -> list[Prepared]:
    """Check all that can be checked, take the folder into use and find out what is missing; data is loaded once for all
    draws that share it. `verdict` and `times` as `study_of` has them.

    Raises:
        DataError, WorkloadError, ResultsError: before anything runs.
    """
    loaded: dict[object, Splits] = {}
    for plan in plans:
        key = plan.workload.data
        loaded[key] = loaded.get(key) or data.load(plan.workload, plan.data)
    nets = {cell.name: Net(cell.axes, loaded[cell.workload.data].classes, asdict(cell.workload)) for cell in study.cells}
    folder.take(out, population.name, population.hash, verdict, nets, plans[0].command, times)
    return [prepare(plan, loaded[plan.workload.data]) for plan in plans]
