"""`ahsar compare`: the arms of a workload, or of every cell of a matrix, over paired seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ahsar.cli.console import console as make_console
from ahsar.cli.console import going_on, say
from ahsar.cli.options import (
    CORES,
    Board,
    Cells,
    Cluster,
    Device,
    Jobs,
    Json,
    Out,
    Precision,
    Quick,
    Slurm,
    StudyData,
    Threads,
    command_line,
)
from ahsar.cli.options import Study as Name
from ahsar.errors import AhsarError, ResultsError

if TYPE_CHECKING:
    from ahsar.lab.study.compare import Prepared


def compare(
    name: Name,
    arm_names: Annotated[
        str | None,
        typer.Option("--arms", help="Comma-separated; default: all but rivals, e.g. baseline,ahsar,rivals,lr@4."),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Pairs; default: the workload's.")] = None,
    quick: Quick = False,
    data: StudyData = None,
    cells: Cells = None,
    out: Out = None,
    jobs: Jobs = CORES,
    threads: Threads = 1,
    cluster: Cluster = "local",
    slurm: Slurm = None,
    tensorboard: Board = False,
    accelerator: Device = "auto",
    precision: Precision = "32-true",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the trained models, for `ahsar robustness`.")] = False,
    as_json: Json = False,
) -> None:
    """Compare AHSAR with its baseline, placebos and rivals over paired seeds; run again, it goes on where it stopped."""
    from ahsar.cli.report import show_comparison, show_matrix
    from ahsar.lab.results import matrix
    from ahsar.lab.study.cells import load
    from ahsar.lab.study.cluster import check
    from ahsar.lab.study.compare import Plan, plan_of, prepare
    from ahsar.lab.trial import ranks

    asked = check("compare", cluster, slurm)
    ranks.check(accelerator, precision, here=cluster == "local")
    study = load(name, quick)
    chosen = study.choose(cells, data)
    folder = out or study.out
    template = Plan(
        study.cells[0].workload,
        folder,
        jobs=jobs,
        threads=threads,
        cluster=cluster,
        accelerator=accelerator,
        precision=precision,
        tensorboard=tensorboard,
        command=command_line(),
        keep=keep,
        slurm=asked,
    )
    names = None if arm_names is None else arm_names.split(",")
    console = make_console(as_json)
    with going_on(folder, "finished trials"):
        plans, errors = [], {}
        if study.is_matrix:
            matrix.check(folder, study.name, study.quick)
        for cell in chosen:
            try:
                plans.append(prepare(plan_of(study, cell, template, data, names, seeds)))
            except AhsarError as error:
                if not study.is_matrix:
                    raise
                errors[cell.name] = str(error)  # one cell's error does not stop the others
                say(console, f"cell {cell.name}", "red", f": {error}")
        if not plans:
            raise ResultsError(f"no cell can run; the first, {chosen[0].name}: {errors[chosen[0].name]}")
        if study.is_matrix:
            axes = {cell.name: cell.axes for cell in study.cells}
            matrix.take(folder, study.name, study.quick, axes, template.command, study.one_constant)
        announce(plans, console)
        run(plans, console)
    if study.is_matrix:
        show_matrix(folder, as_json)
    else:
        show_comparison(folder, as_json)


STEPS_BAR = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f} %"),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)


def announce(plans: "Sequence[Prepared]", console: Console) -> None:
    """Say what begins."""
    for one in plans:
        plan, spec = one.plan, one.plan.workload
        what = f" ({spec.name}{', quick' if spec.quick else ''}, hash {spec.hash}): {len(plan.arms)} arms × "
        much = f"{len(plan.seeds)} seeds, {spec.budget.steps} steps each, {plan.jobs} at a time"
        say(console, spec.title, "bold", what + much)


def run(plans: "Sequence[Prepared]", console: Console) -> None:
    """Run what is missing of comparisons, and show how far they are."""
    from ahsar.lab.study.compare import finish

    with Progress(*STEPS_BAR, console=console) as progress:
        finish(plans, follow(plans, progress, console))


def follow(plans: "Sequence[Prepared]", progress: Progress, console: Console) -> Any:
    """What shows how far it is: a bar over the steps of all trials, and those that failed or diverged."""
    total = sum(len(one.plan.trials) for one in plans)
    begun = total - sum(len(one.missing) for one in plans)
    steps = [(one.plan.workload.budget.steps, len(one.plan.trials), len(one.missing)) for one in plans]
    base = sum(budget * (trials - missing) for budget, trials, missing in steps)
    all_steps = sum(budget * trials for budget, trials, _ in steps)
    bar = progress.add_task(f"trials {begun}/{total}", total=all_steps, completed=base)
    ended_count = begun

    def update(done: dict[str, int], ended: list[dict[str, Any]]) -> None:
        nonlocal ended_count
        ended_count += len(ended)
        for record in ended:
            if record["status"] != "done":
                of = f"{record['workload']} " if len(plans) > 1 else ""
                say(console, f"trial {of}{record['trial']} {record['status']}", "red", f": {record['error']}")
        progress.update(bar, completed=base + sum(done.values()), description=f"trials {ended_count}/{total}")

    return update
