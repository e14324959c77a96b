"""`ahsar run`: one trial, its curve as it comes."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ahsar.cli.console import console as make_console
from ahsar.cli.options import Board, Data, Device, Name, Precision, Quick
from ahsar.errors import WorkloadError
from ahsar.files import write_whole


def run(
    workload: Name,
    arm: Annotated[str, typer.Option("--arm", help="A placebo, constant@SCALE or RIVAL[@NUMBER].")] = "ahsar",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    quick: Quick = False,
    data: Data = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where its record and model are kept; default: nowhere.")] = None,
    tensorboard: Board = False,
    accelerator: Device = "auto",
    precision: Precision = "32-true",
) -> None:
    """Run one trial and show its curve as it comes; with --out, keep its record."""
    from ahsar.lab import arms
    from ahsar.lab.data import load as load_data
    from ahsar.lab.results.folder import records_in
    from ahsar.lab.results.schema import name_of
    from ahsar.lab.spec.workload import load
    from ahsar.lab.trial import ranks
    from ahsar.lab.trial.run import run_trial

    # under torchrun all processes share it; the first one prints and writes, and each of them ends here
    console = make_console()
    console.quiet = not ranks.first()
    ranks.check(accelerator, precision)
    spec = load(workload, quick)
    expanded = arms.expand([arm], spec)
    if len(expanded) != 1:
        raise WorkloadError(f"arm {arm!r} stands for {len(expanded)} arms; name one, e.g. {expanded[0]}")
    splits = load_data(spec, data)
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
        )

    model_file = None if out is None else out / f"{name_of(arm, seed)}.pt"
    options = {"accelerator": accelerator, "precision": precision, "tensorboard": folder, "keep": model_file}
    record = run_trial(spec, splits, arm, seed, report=show, **options)
    console.print(_ending(record))
    if folder is not None:
        console.print(f"tensorboard --logdir {folder}", soft_wrap=True)
    if out is not None and ranks.first():
        write_whole(out / f"{record['trial']}.jsonl", json.dumps(record) + "\n")
        kept = f"; model: {model_file}" if record["status"] == "done" else ""
        console.print(f"record: {out / (record['trial'] + '.jsonl')}{kept}", soft_wrap=True)
    ranks.leave()


def _ending(record: dict[str, Any]) -> str:
    """What a trial came to."""
    if record["status"] == "diverged":
        return f"diverged: {record['error']}; {record['seconds']:.1f} s of training"
    reached = record["steps_to_target"]
    return (
        f"test {record['metric']} {record['final_test']:.4f}, mean rate {record['mean_rate']:.3f}, "
        f"target {record['target']:g} {'not reached' if reached is None else f'reached at step {reached}'}, "
        f"{record['seconds']:.1f} s of training"
    )
