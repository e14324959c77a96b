"""The commands behind `ahsar`; needs the extra `ahsar[lab]`."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ahsar.errors import AhsarError, ResultsError


class Interrupted(AhsarError):
    """Ctrl-C."""


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Homeostatic regulation of firing rates in spiking networks.",
)
Name = Annotated[str, typer.Argument(help="A workload's name (see `ahsar workloads`) or a .toml file.")]
Quick = Annotated[bool, typer.Option("--quick", help="The small budget: minutes on 2 cores.")]
Data = Annotated[Path | None, typer.Option("--data", help="Local file or folder with the data; default: public name.")]
Out = Annotated[Path | None, typer.Option("--out", help="Results folder; default: runs/WORKLOAD.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Log rates, scales and gain to OUT/tensorboard.")]
Device = Annotated[str, typer.Option("--accelerator", help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option("--precision", help="32-true, bf16-mixed or 16-mixed.")]
Cluster = Annotated[str, typer.Option("--cluster", help="local or slurm.")]
Slurm = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="What each job asks for: partition=gpu,gpus_per_node=1,timeout_min=600; may be repeated."),
]


@app.command()
def inspect(
    target: Annotated[str, typer.Argument(help="package.module:factory, or :model; a factory takes no arguments.")],
    input_shape: Annotated[
        str | None,
        typer.Option("--input", help="Shape of an input, e.g. 1,3,32,32: shows what each layer gives out."),
    ] = None,
) -> None:
    """Show the spiking layers of a model, and what is skipped and why."""
    from ahsar.cli.inspect import inspect_target, table

    _print(table(inspect_target(target, input_shape)))


@app.command()
def workloads() -> None:
    """List the workloads."""
    from ahsar.cli.listing import workloads_table

    _print(workloads_table())


@app.command()
def run(
    workload: Name,
    arm: Annotated[str, typer.Option("--arm", help="A placebo, constant@SCALE or RIVAL[@NUMBER].")] = "ahsar",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    quick: Quick = False,
    data: Data = None,
    out: Out = None,
    tensorboard: Board = False,
    accelerator: Device = "auto",
    precision: Precision = "32-true",
) -> None:
    """Run one trial and show its curve as it comes; with --out, keep its record."""
    from ahsar.cli.run import run_one

    run_one(workload, arm, seed, quick, data, out, tensorboard, accelerator, precision)


@app.command()
def compare(
    workload: Name,
    arm_names: Annotated[
        str | None,
        typer.Option("--arms", help="Comma-separated; default: all but rivals, e.g. baseline,ahsar,rivals,lr@4."),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Pairs; default: the workload's.")] = None,
    quick: Quick = False,
    data: Data = None,
    out: Out = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; default: one per core.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of each process.")] = 1,
    cluster: Cluster = "local",
    slurm: Slurm = None,
    tensorboard: Board = False,
    accelerator: Device = "auto",
    precision: Precision = "32-true",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the trained models, for `ahsar robustness`.")] = False,
) -> None:
    """Compare AHSAR with its baseline, placebos and rivals over paired seeds; run again, it goes on where it stopped."""
    from ahsar.cli.run import compare_all
    from ahsar.lab import arms
    from ahsar.lab.spec.workload import load
    from ahsar.lab.study.cluster import check
    from ahsar.lab.study.compare import Plan

    asked = check("compare", cluster, slurm)
    spec = load(workload, quick)
    count = seeds or spec.seeds.count
    plan = Plan(
        spec,
        out or Path("runs") / f"{spec.name}{'-quick' if quick else ''}",
        arms.expand(arm_names.split(",") if arm_names else None, spec),
        list(range(spec.seeds.first, spec.seeds.first + count)),
        data,
        jobs or os.cpu_count() or 1,
        threads,
        cluster,
        accelerator,
        precision,
        tensorboard,
        command=shlex.join(["ahsar", *sys.argv[1:]]),
        keep=keep,
        slurm=asked,
    )
    try:
        compare_all(plan)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; finished trials are kept in {plan.out}: run the same command to go on") from None


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Results folders; several give one combined page.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where the combined page goes.")] = None,
) -> None:
    """Write summary.json, report.html and the pictures anew from the trials of finished comparisons."""
    from ahsar.lab.report.comparison import page

    for folder in folders:
        if not folder.is_dir():
            raise ResultsError(f"{folder}: no such folder; give the --out of a comparison")
        _print(page.write(folder))
    if len(folders) > 1:
        _print(page.combine(folders, out or Path("runs/combined")))


@app.command()
def figures(
    name: Annotated[str, typer.Argument(help="fig2: learning by constant scale; fig4: rates of the layers by constant scale.")],
    folders: Annotated[list[Path], typer.Argument(help="Results folders of `ahsar compare`; one panel each.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where NAME.png and NAME.svg go; default: the first folder.")
    ] = None,
) -> None:
    """Draw a counterpart of the paper's figure 2 or 4, for print, from finished comparisons with constant scales."""
    from ahsar.lab.report.print import fig2, fig4

    known = {"fig2": fig2.write, "fig4": fig4.write}
    if name not in known:
        raise ResultsError(f"unknown figure {name!r}: choose from {', '.join(known)}")
    for path in known[name](folders, out or folders[0]):
        _print(path)


@app.command()
def robustness(
    out: Annotated[Path, typer.Argument(help="Results folder of `ahsar compare --keep`.")],
    data: Data = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Test samples; 0 for all.")] = 500,
    severities: Annotated[str | None, typer.Option("--severities", help="Comma-separated, of 1 to 5; default: all.")] = None,
    corruptions: Annotated[str | None, typer.Option("--corruptions", help="Comma-separated; default: all.")] = None,
) -> None:
    """Score a comparison's models on corrupted test samples: scales frozen, and adapting to unlabelled batches."""
    from ahsar.cli.run import robustness_of

    robustness_of(out, data, limit, severities, corruptions)


@app.command()
def tune(
    workload: Name,
    quick: Quick = False,
    data: Data = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Baseline seeds from 1000 on.")] = 5,
    rates: Annotated[str, typer.Option("--lr", help="Learning rates to try.")] = "5e-4,1e-3,2e-3,5e-3,1e-2,2e-2",
) -> None:
    """Find the baseline's learning rate and the target that a workload should freeze, on seeds never compared."""
    from ahsar.cli.run import tune_one
    from ahsar.lab.trial.ranks import refuse

    refuse("tune")
    tune_one(workload, quick, data, seeds, rates)


@app.command()
def matrix(
    name: Annotated[str, typer.Argument(help="A matrix's name (headline) or a .toml file.")],
    quick: Quick = False,
    data: Annotated[Path | None, typer.Option("--data", help="Folder that holds the data sets; default: public names.")] = None,
    cells: Annotated[str | None, typer.Option("--cells", help="Comma-separated names; default: all.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Results folder; default: runs/NAME.")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Tune the baselines instead, into OUT/tuned.toml.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the trained models, for --robustness.")] = False,
    robustness: Annotated[bool, typer.Option("--robustness", help="Score kept models on corrupted samples instead.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="With --robustness: test samples; 0 for all.")] = 200,
    severities: Annotated[str, typer.Option("--severities", help="With --robustness: comma-separated, of 1 to 5.")] = "3",
    page: Annotated[bool, typer.Option("--page", help="Only write the page anew, from the cells that ran.")] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; default: one per core.")] = None,
    cluster: Cluster = "local",
    slurm: Slurm = None,
    accelerator: Device = "auto",
    precision: Precision = "32-true",
) -> None:
    """Run a frozen list of cells (paradigm, model, data) with all their arms; run again, it goes on where it stopped."""
    from ahsar.cli import matrix_run, matrix_tune
    from ahsar.lab.study import cells as matrices
    from ahsar.lab.study.cluster import check
    from ahsar.lab.study.compare import Plan

    asked = check("matrix", cluster, slurm)
    listed = matrices.load(name, quick)
    stem = Path(name).stem
    folder = out or Path("runs") / f"{stem}{'-quick' if quick else ''}"
    chosen = matrices.choose(listed, cells)
    jobs = jobs or os.cpu_count() or 1
    command = shlex.join(["ahsar", *sys.argv[1:]])
    try:
        if page:
            matrix_run.show(folder)
        elif tune:
            matrix_tune.tune_matrix(chosen, data, folder, jobs)
        elif robustness:
            matrix_run.test_matrix(chosen, data, folder, jobs, limit, severities)
        else:
            options = {"jobs": jobs, "cluster": cluster, "accelerator": accelerator, "precision": precision, "keep": keep}
            plan = Plan(listed[0].workload, folder, [], [], command=command, slurm=asked, **options)
            matrix_run.run_matrix(stem, listed, chosen, plan, data)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; finished trials are kept in {folder}: run the same command to go on") from None


@app.command()
def bake(
    checkpoint: Annotated[Path, typer.Argument(help="Of `ahsar run --out`, or with your own `model` and `homeostat` states.")],
    model: Annotated[str | None, typer.Option("--model", help="package.module:factory; not for one of `ahsar run`.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: CHECKPOINT with .baked before its ending.")] = None,
    nir: Annotated[Path | None, typer.Option("--nir", help="Also write the model as NIR here.")] = None,
    input_shape: Annotated[str | None, typer.Option("--input", help="Shape of an input, for NIR: 1,3,32,32.")] = None,
) -> None:
    """Write a saved model with its scaled thresholds baked in, to run and export without ahsar."""
    from ahsar.cli.bake import bake_checkpoint

    target = out or checkpoint.with_name(f"{checkpoint.stem}.baked{checkpoint.suffix}")
    baked = bake_checkpoint(checkpoint, model, target, nir, input_shape)
    for name, threshold in baked["thresholds"].items():
        _print(f"{name}  threshold {threshold if isinstance(threshold, float) else threshold.tolist()}")
    _print(f"baked: {target}" + (f"; NIR: {nir}" if nir else ""))


def _print(what: Any) -> None:
    from ahsar.cli.console import console

    console().print(what)
