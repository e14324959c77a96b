"""`ahsar population`: the arms over many nets, drawn as people write them."""

from pathlib import Path
from typing import Annotated

import typer

from ahsar.cli.compare import run
from ahsar.cli.console import console as make_console
from ahsar.cli.console import going_on, say
from ahsar.cli.options import CORES, Device, Jobs, Json, Out, Threads, command_line


def population(
    name: Annotated[str, typer.Argument(help="A population's name, as users, or a .toml file.")],
    count: Annotated[int, typer.Option("--n", min=1, help="Draws.")] = 200,
    first: Annotated[int, typer.Option("--first", min=0, help="The number of the first one.")] = 0,
    arm_names: Annotated[
        str | None,
        typer.Option("--arms", help="Comma-separated; default: baseline,ahsar,attached,constant,shuffled."),
    ] = None,
    rivals: Annotated[bool, typer.Option("--rivals", help="Every rival too, in the first hundred of a block.")] = False,
    verdict: Annotated[
        bool,
        typer.Option("--verdict", help="Say that draws from 1000 on are meant: once, when nothing is chosen any more."),
    ] = False,
    times: Annotated[int, typer.Option(min=1, max=1000, help="How much longer than drawn each net is trained.")] = 1,
    data: Annotated[Path | None, typer.Option("--data", help="Folder that holds the data sets; default: public names.")] = None,
    out: Out = None,
    jobs: Jobs = CORES,
    threads: Threads = 1,
    accelerator: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compare the arms over nets drawn from a population, one seed each; run again, it goes on where it stopped."""
    from ahsar.cli.report import show_population
    from ahsar.lab.results.population import merge
    from ahsar.lab.spec.population import load
    from ahsar.lab.study.compare import Plan
    from ahsar.lab.study.population import plans_of, prepare_all, study_of
    from ahsar.lab.trial import ranks

    ranks.refuse("population")
    ranks.check(accelerator, "32-true")
    drawn = load(name)
    study = study_of(drawn, first, count, verdict=verdict, times=times)
    study.choose(None, data)
    folder = out or study.out
    template = Plan(
        study.cells[0].workload,
        folder,
        jobs=jobs,
        threads=threads,
        accelerator=accelerator,
        command=command_line(),
    )
    console = make_console(as_json)
    with going_on(folder, "finished trials"):
        plans = plans_of(study, template, data, None if arm_names is None else arm_names.split(","), rivals=rivals)
        prepared = prepare_all(drawn, study, plans, folder, verdict=verdict, times=times)
        trials = sum(len(plan.trials) for plan in plans)
        longer = f", {times} times their budget" * (times > 1)
        what = (
            f" (population {drawn.name}, hash {drawn.hash}): {count} draws from {first} on{longer}, {trials} trials, "
            f"{jobs} at a time"
        )
        say(console, drawn.title, "bold", what)
        run(prepared, console)
    merge(folder)
    show_population(folder, as_json)
