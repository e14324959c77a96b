"""What one process of a comparison does: claim a trial, run it, store it, until none is left."""

import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from ahsar.errors import AhsarError
from ahsar.lab.results.folder import Results
from ahsar.lab.results.schema import Record, header, name_of
from ahsar.lab.spec.workload import Workload
from ahsar.lab.trial import ranks
from ahsar.lab.trial.run import run_trial


@dataclass(frozen=True)
class Task:
    """A comparison's share for a worker; every worker gets the same one, and claims decide.

    Attributes:
        trials: (arm, seed), in the order to run them.
        data: local file or folder, or None for the public name.
        threads: of torch in this process.
        parent: process to stop with, when it runs on this machine; 0 to go on alone.
    """

    workload: Workload
    folder: Path
    trials: tuple[tuple[str, int], ...]
    data: Path | None = None
    threads: int = 1
    accelerator: str = "auto"
    precision: str = "32-true"
    tensorboard: bool = False
    keep: bool = False
    parent: int = 0

    def __call__(self) -> int:
        """Run; returns the number of trials that this worker ended."""
        import torch

        torch.set_num_threads(self.threads)
        from ahsar.lab import data

        results, splits, ended = Results(self.folder), None, 0
        settings = ranks.settings(self.accelerator, self.precision)
        results.check(settings)  # only this machine knows what "auto" is here
        for arm, seed in self.trials:
            if results.stopped or not results.claim(name_of(arm, seed)):
                continue
            try:
                splits = splits or data.load(self.workload, self.data)
                record = self._trial(results, splits, arm, seed)
            except Exception as error:  # a failed trial is a result: it is shown and does not sink the others
                record = failed(header(self.workload, arm, seed, settings), error)
            results.finish(record)
            (results.trials / f"{record['trial']}.jsonl.part").unlink(missing_ok=True)
            ended += 1
        return ended

    def _trial(self, results: Results, splits: object, arm: str, seed: int) -> Record:
        name = name_of(arm, seed)

        def report(point: Record) -> None:
            if results.stopped or (self.parent and not _alive(self.parent)):
                sys.exit("the comparison that started this worker was stopped")
            results.point(name, point)

        return run_trial(
            self.workload,
            splits,  # type: ignore[arg-type]
            arm,
            seed,
            report=report,
            accelerator=self.accelerator,
            precision=self.precision,
            tensorboard=self.folder / "tensorboard" if self.tensorboard else None,
            keep=results.model(name) if self.keep else None,
        )


@dataclass(frozen=True)
class Tasks:
    """Several comparisons' shares, one after the other in the same process."""

    tasks: tuple[Task, ...]

    def __call__(self) -> int:
        """Run; returns the number of trials that this worker ended."""
        return sum(task() for task in self.tasks)


def failed(record: Record, error: BaseException | str) -> Record:
    """The record of a trial that ended with an error; the place in our code is kept for the reader."""
    if isinstance(error, BaseException):
        last = traceback.extract_tb(error.__traceback__)[-1:] if not isinstance(error, AhsarError) else []
        where = f" ({Path(last[0].filename).name}:{last[0].lineno})" if last else ""
        error = f"{type(error).__name__}: {error}{where}"
    return {**record, "status": "failed", "error": error}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
