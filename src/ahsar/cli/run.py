"""What a person sees while the lab works: progress, curves, tables."""

import json
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ahsar.cli.console import console as make_console
from ahsar.errors import ResultsError, WorkloadError
from ahsar.files import write_whole
from ahsar.lab import arms, data
from ahsar.lab.results.folder import Results, records_in
from ahsar.lab.results.schema import name_of
from ahsar.lab.spec.workload import load
from ahsar.lab.study.compare import Plan, compare
from ahsar.lab.study.pool import COLUMNS
from ahsar.lab.trial import ranks
from ahsar.lab.trial.run import run_trial


def compare_all(plan: Plan) -> None:
    """Run a comparison with a progress display, then print its table and the path of its report."""
    console = make_console()
    spec = plan.workload
    console.print(
        f"[bold]{spec.title}[/] ({spec.name}{', quick' if spec.quick else ''}, hash {spec.hash}): "
        f"{len(plan.arms)} arms × {len(plan.seeds)} seeds, {spec.budget.steps} steps each, {plan.jobs} at a time"
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        ended_count = sum(_is_done(plan, *pair) for pair in plan.trials)
        base, total = ended_count * spec.budget.steps, len(plan.trials) * spec.budget.steps
        bar = progress.add_task(f"trials {ended_count}/{len(plan.trials)}", total=total, completed=base)

        def update(steps: dict[str, int], ended: list[dict[str, Any]]) -> None:
            nonlocal ended_count
            ended_count += len(ended)
            for record in ended:
                if record["status"] == "failed":
                    progress.console.print(f"[red]trial {record['trial']} failed[/]: {record['error']}")
            done = f"trials {ended_count}/{len(plan.trials)}"
            progress.update(bar, completed=base + sum(steps.values()), description=done)

        compare(plan, update)
    from ahsar.lab.report.comparison import page, summary, words

    report = page.write(plan.out)
    found = json.loads((plan.out / "summary.json").read_text(encoding="utf-8"))
    console.print(summary.table(found, console.width))
    for said in (words.headline(found), *words.findings(found)):
        console.print(said, highlight=False)
    console.print(f"report: {report.absolute()}", soft_wrap=True)
    if not any(arm["n"] for arm in found["arms"].values()):
        raise ResultsError(f"every trial failed; the errors are in {plan.out / 'trials.jsonl'}")


def _is_done(plan: Plan, arm: str, seed: int) -> bool:
    results, name = Results(plan.out), name_of(arm, seed)
    return (results.trials / f"{name}.jsonl").exists() and (not plan.keep or results.model(name).exists())


def run_one(
    name: str,
    arm: str,
    seed: int,
    quick: bool,
    source: Path | None,
    out: Path | None,
    tensorboard: bool,
    accelerator: str,
    precision: str,
) -> None:
    """One trial, a line per evaluation, and its record and model as OUT/NAME.jsonl and .pt.

    Under torchrun all processes share it; the first one prints and writes, and each of them ends here.
    """
    console = make_console()
    console.quiet = not ranks.first()
    spec = load(name, quick)
    expanded = arms.expand([arm], spec)
    if len(expanded) != 1:
        raise WorkloadError(f"arm {arm!r} stands for {len(expanded)} arms; name one, e.g. {expanded[0]}")
    splits = data.load(spec, source)
    console.print(f"{spec.title}: arm {arm}, seed {seed}, {spec.budget.steps} steps; {splits.source}")
    if out is not None:
        others = (record for record in records_in(out) if record["trial"] != name_of(arm, seed))  # which is replaced
        ranks.settings(accelerator, precision).check(out, others)
    folder = (out or Path("runs") / "single") / "tensorboard" if tensorboard else None

    def show(point: dict[str, Any]) -> None:
        rates = " ".join(f"{rate:.2f}" for rate in point["rates"].values())
        scales = " ".join(f"{scale:.2f}" for scale in point["scales"].values())
        console.print(
            f"step {point['step']:>6}  {spec.target.metric} {point['val_metric']:.3f}  rates {rates}  scales {scales}",
            soft_wrap=True,
            highlight=False,
        )

    model_file = None if out is None else out / f"{name_of(arm, seed)}.pt"
    options = {"accelerator": accelerator, "precision": precision, "tensorboard": folder, "keep": model_file}
    record = run_trial(spec, splits, arm, seed, report=show, **options)
    reached = record["steps_to_target"]
    console.print(
        f"test {spec.target.metric} {record['final_test']:.4f}, mean rate {record['mean_rate']:.3f}, "
        f"target {spec.target.value:g} {'not reached' if reached is None else f'reached at step {reached}'}, "
        f"{record['seconds']:.1f} s of training"
    )
    if folder is not None:
        console.print(f"tensorboard --logdir {folder}")
    if out is not None and ranks.first():
        write_whole(out / f"{record['trial']}.jsonl", json.dumps(record) + "\n")
        console.print(f"record: {out / (record['trial'] + '.jsonl')}; model: {model_file}", soft_wrap=True)
    ranks.leave()


def tune_one(name: str, quick: bool, source: Path | None, seeds: int, rates: str) -> None:
    """Tune the baseline's learning rate and print what the workload should freeze."""
    from ahsar.lab.study.tune import tune

    try:
        grid = [float(rate) for rate in rates.split(",")]
    except ValueError:
        raise WorkloadError(f"--lr {rates!r}: give numbers with commas between, e.g. 1e-3,2e-3") from None
    spec = load(name, quick)
    torch.set_num_threads(1)  # as a comparison's trials
    console = make_console()
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console) as progress:
        bar = progress.add_task("trials", total=len(grid) * seeds)
        found = tune(spec, source, grid, list(range(1000, 1000 + seeds)), lambda: progress.advance(bar))
    console.print_json(json.dumps(found))
    if found["at_end"]:
        console.print(f"the best learning rate, {found['lr']:g}, is at the end of those tried: try more with --lr")


def robustness_of(out: Path, source: Path | None, limit: int, severities: str | None, corruptions: str | None) -> None:
    """Test the models of a comparison on corrupted samples, with a progress display; print the table and the page's path."""
    from ahsar.lab.report.robustness import page as report
    from ahsar.lab.study.robustness import measure

    console = make_console()
    with Progress(*COLUMNS, console=console) as progress:
        bar = progress.add_task("tests", total=None)
        measured = measure(
            out, source, limit, severities, corruptions, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    summary = report.write(out, measured)
    console.print(report.table(summary))
    for said in report.findings(summary):
        console.print(said, highlight=False)
    console.print(f"page: {(out / 'robustness.html').absolute()}", soft_wrap=True)
