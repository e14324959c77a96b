"""A comparison: all arms over paired seeds, fanned out over processes, resumable, with its report at the end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahsar.lab import data, models, trial
from ahsar.lab.results import Results
from ahsar.lab.worker import Task, failed
from ahsar.lab.workload import Workload


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        arms: as `arms.expand` gives them.
        seeds: the pairs.
        jobs: processes at a time.
        threads: of each; results depend on it in the last bits, so it does not follow from the number of cores.
        cluster: "local" or "slurm".
        keep: whether trained models are kept; a finished trial without its model is then run again.
    """

    workload: Workload
    out: Path
    arms: list[str]
    seeds: list[int]
    data: Path | None = None
    jobs: int = 1
    threads: int = 1
    cluster: str = "local"
    accelerator: str = "auto"
    precision: str = "32-true"
    tensorboard: bool = False
    command: str = ""
    keep: bool = False

    @property
    def trials(self) -> list[tuple[str, int]]:
        """Seed by seed, so that an interrupted comparison has whole pairs."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]


Progress = Callable[[dict[str, int], list[dict[str, Any]]], None]


def compare(plan: Plan, progress: Progress = lambda steps, ended: None) -> Path:
    """Run what is missing, then write trials.jsonl; returns its path.

    Args:
        progress: called now and then with the steps done of each trial and the records that ended.

    Raises:
        DataError, WorkloadError, ResultsError: before anything runs.
        KeyboardInterrupt: workers are stopped; finished trials stay, and the same call goes on from there.
    """
    names = [trial.name_of(*pair) for pair in plan.trials]
    # what cannot work stops here, once; and the workers find the data cached
    splits = data.load(plan.workload, plan.data)
    models.build(plan.workload, splits.sample_shape, splits.classes)
    results = Results(plan.out)
    results.open(plan.workload, plan.command)
    for name in names:
        record = results.finished(name)
        if record is not None and record["status"] != "done":
            results.forget(name)  # a failed trial gets another chance
        elif plan.keep and not results.model(name).exists():
            results.forget(name)
    missing = tuple(pair for pair in plan.trials if results.finished(trial.name_of(*pair)) is None)
    if missing:
        _run(plan, results, missing, progress)
    records = []
    for arm, seed in plan.trials:
        record = results.finished(trial.name_of(arm, seed))
        blank = trial.header(plan.workload, arm, seed)
        records.append(record or failed(blank, f"its worker died; see {plan.out / 'logs'}"))
    return results.merge(records)


def _run(plan: Plan, results: Results, missing: tuple[tuple[str, int], ...], progress: Progress) -> None:
    import submitit  # heavy

    jobs = max(1, min(plan.jobs, len(missing)))
    task = Task(
        plan.workload,
        plan.out.absolute(),
        missing,
        plan.data.absolute() if plan.data else None,
        plan.threads,
        plan.accelerator,
        plan.precision,
        plan.tensorboard,
        plan.keep,
        parent=os.getpid() if plan.cluster == "local" else 0,
    )
    executor = submitit.AutoExecutor(folder=plan.out / "logs", cluster=plan.cluster)
    executor.update_parameters(timeout_min=7 * 24 * 60, cpus_per_task=plan.threads, name=f"ahsar-{plan.workload.name}")
    with _deaf_to_interrupts():
        running = [executor.submit(task) for _ in range(jobs)]
    names = [trial.name_of(*pair) for pair in missing]
    told: set[str] = set()
    try:
        while True:
            over = all(job.done() for job in running)
            ended = []
            for name in names:
                if name not in told and (record := results.finished(name)) is not None:
                    told.add(name)
                    ended.append(record)
            steps = {name: plan.workload.budget.steps if name in told else results.steps_done(name) for name in names}
            progress(steps, ended)
            if over:
                return
            time.sleep(0.5)
    finally:
        _stop(plan, results, running)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started within ignore Ctrl-C: this one hears it, and asks them to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(plan: Plan, results: Results, running: list[Any]) -> None:
    """Ask workers that still run to stop, and wait for a while; they do at their next evaluation."""
    if all(job.done() for job in running):
        return
    results.ask_to_stop()
    if plan.cluster != "local":
        for job in running:
            job.cancel(check=False)
    deadline = time.monotonic() + 20
    while not all(job.done() for job in running) and time.monotonic() < deadline:
        time.sleep(0.1)
