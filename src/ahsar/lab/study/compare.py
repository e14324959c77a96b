"""The comparisons of a study: all arms over paired seeds, cell by cell, fanned out over processes and resumable."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ahsar.errors import WorkloadError
from ahsar.lab import arms, data, models
from ahsar.lab.results.folder import Results
from ahsar.lab.results.provenance import Settings
from ahsar.lab.results.schema import ENDED, header, name_of
from ahsar.lab.spec.workload import Workload
from ahsar.lab.study import cluster
from ahsar.lab.study.cells import Cell, Study
from ahsar.lab.study.worker import Task, Tasks, failed
from ahsar.lab.trial import ranks


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
        slurm: what a job asks for, as `cluster.check` gives it.
    """

    workload: Workload
    out: Path
    arms: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    data: Path | None = None
    jobs: int = 1
    threads: int = 1
    cluster: str = "local"
    accelerator: str = "auto"
    precision: str = "32-true"
    tensorboard: bool = False
    command: str = ""
    keep: bool = False
    slurm: dict[str, Any] = field(default_factory=dict)

    @property
    def trials(self) -> list[tuple[str, int]]:
        """Seed by seed, so that an interrupted comparison has whole pairs."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]

    @property
    def settings(self) -> Settings:
        """Those of its trials; on a cluster only the machine that runs one knows what "auto" is."""
        unknown = self.cluster != "local" and self.accelerator in ("auto", "gpu")
        return ranks.settings("" if unknown else self.accelerator, self.precision, self.threads)


def plan_of(
    study: Study, cell: Cell, template: Plan, root: Path | None, names: list[str] | None = None, count: int | None = None
) -> Plan:
    """The comparison of one cell, in its folder below the template's.

    Args:
        root: local file or folder with the data of a workload, or that holds those of a matrix; None for public names.
        names: of arms, as `arms.expand` takes them; None for the cell's.
        count: of pairs; None for the workload's.

    Raises:
        WorkloadError: the cell is not tuned, or an arm is unknown.
        DataError: its data is not below `root`.
    """
    if not cell.tuned:
        quick = " --quick" if study.quick else ""
        raise WorkloadError(
            f"cell {cell.name!r} is not tuned for this budget: run `ahsar tune {study.name}{quick} --cells {cell.name}`, and "
            f"keep what it finds in {study.name}.tuned.toml, beside {study.name}.toml"
        )
    spec = cell.workload
    return replace(
        template,
        workload=spec,
        out=study.folder(template.out, cell),
        arms=cell.arms() if names is None else arms.expand(names, spec),
        seeds=list(range(spec.seeds.first, spec.seeds.first + (count or spec.seeds.count))),
        data=cell.source(root),
    )


Progress = Callable[[dict[str, int], list[dict[str, Any]]], None]


def compare(plan: Plan, progress: Progress = lambda steps, ended: None) -> Path:
    """Run what is missing, then write trials.jsonl; returns its path.

    Args:
        progress: called now and then with the steps done of each missing trial and the records that ended.

    Raises:
        DataError, WorkloadError, ResultsError: before anything runs.
        KeyboardInterrupt: workers are stopped; finished trials stay, and the same call goes on from there.
    """
    finish([prepare(plan)], progress)
    return plan.out / "trials.jsonl"


@dataclass(frozen=True)
class Prepared:
    """A plan that can run, its results folder and what is missing there."""

    plan: Plan
    results: Results
    missing: tuple[tuple[str, int], ...]


def prepare(plan: Plan, splits: data.Splits | None = None) -> Prepared:
    """Check all that can be checked, take the folder into use and find out what is missing; raises as `compare`.

    Args:
        splits: the plan's data, where it is loaded already.
    """
    # what cannot work stops here, once; and the workers find the data cached
    splits = splits or data.load(plan.workload, plan.data)
    models.build(plan.workload, splits.sample_shape, splits.classes)
    results = Results(plan.out)
    results.open(plan.workload, plan.command, plan.settings)
    for arm, seed in plan.trials:
        record = results.finished(name_of(arm, seed))
        if record is None:
            continue
        modelless = plan.keep and record["status"] == "done" and not results.model(record["trial"]).exists()
        if modelless or record["status"] not in ENDED:  # a failed trial gets another chance
            results.forget(record["trial"])
    return Prepared(plan, results, tuple(pair for pair in plan.trials if results.finished(name_of(*pair)) is None))


def merge(plan: Plan) -> Path:
    """Write trials.jsonl from the trials that ended; the others stand in it as failed."""
    results, records = Results(plan.out), []
    for arm, seed in plan.trials:
        record = results.finished(name_of(arm, seed))
        blank = header(plan.workload, arm, seed, plan.settings)
        records.append(record or failed(blank, f"its worker died; see {plan.out / 'logs'}"))
    return results.merge(records)


def finish(prepared: Sequence[Prepared], progress: Progress = lambda steps, ended: None) -> None:
    """Run what is missing of a study's comparisons, then write the trials.jsonl of each; when interrupted, of those that are
    whole."""
    over = False
    try:
        work(prepared, progress)
        over = True
    finally:
        for one in prepared:
            if over or all(one.results.finished(name_of(*pair)) for pair in one.plan.trials):
                merge(one.plan)


def work(prepared: Sequence[Prepared], progress: Progress = lambda steps, ended: None) -> None:
    """Run what is missing of several comparisons, one after the other, by the same workers; all on one cluster."""
    tasks = [_task(one) for one in prepared if one.missing]
    if not tasks:
        return
    plan = prepared[0].plan
    jobs = max(1, min(plan.jobs, sum(len(task.trials) for task in tasks)))
    name = f"ahsar-{plan.workload.name}"
    executor = cluster.executor(plan.out / "logs", plan.cluster, plan.threads, name, plan.slurm)
    with _deaf_to_interrupts():
        running = [executor.submit(Tasks(tuple(tasks))) for _ in range(jobs)]
    waiting = [(one, name_of(*pair)) for one in prepared for pair in one.missing]
    told: dict[Path, int] = {}
    try:
        while True:
            over = all(job.done() for job in running)
            ended = []
            for one, name in waiting:
                path = one.plan.out / name
                if path not in told and (record := one.results.finished(name)) is not None:
                    told[path] = one.plan.workload.budget.steps
                    ended.append(record)
            progress(
                {str(one.plan.out / n): told.get(one.plan.out / n, one.results.steps_done(n)) for one, n in waiting}, ended
            )
            if over:
                return
            time.sleep(0.5)
    finally:
        _stop(prepared, running)


def _task(one: Prepared) -> Task:
    plan = one.plan
    return Task(
        plan.workload,
        plan.out.absolute(),
        one.missing,
        plan.data.absolute() if plan.data else None,
        plan.threads,
        plan.accelerator,
        plan.precision,
        plan.tensorboard,
        plan.keep,
        parent=os.getpid() if plan.cluster == "local" else 0,
    )


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


def _stop(prepared: Sequence[Prepared], running: list[Any]) -> None:
    """Ask workers that still run to stop, and wait for a while; they do at their next evaluation."""
    if all(job.done() for job in running):
        return
    for one in prepared:
        one.results.ask_to_stop()
    if prepared[0].plan.cluster != "local":
        for job in running:
            job.cancel(check=False)
    deadline = time.monotonic() + 20
    while not all(job.done() for job in running) and time.monotonic() < deadline:
        time.sleep(0.1)
