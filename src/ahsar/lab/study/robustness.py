"""How a comparison's trained models do on corrupted test samples: frozen, and adapting to unlabelled batches."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import ahsar
from ahsar.adapt import Adaptation
from ahsar.errors import ResultsError
from ahsar.files import load_saved
from ahsar.homeostat import Homeostat
from ahsar.lab import corruptions, data, paradigms
from ahsar.lab.paradigms import Paradigm
from ahsar.lab.results import provenance
from ahsar.lab.results.constants import best_constant
from ahsar.lab.results.folder import Results
from ahsar.lab.results.records import arms_of, read
from ahsar.lab.results.schema import name_of
from ahsar.lab.spec.workload import Workload

BATCH = 128  # samples that are adapted to, and scored, at a time
UPDATES = 10  # of the scales on each batch; neither number was tuned
FROZEN, NORM, EPISODIC, CONTINUAL = "frozen", "norm", "episodic", "continual"
BOTH = (f"{NORM}+{EPISODIC}", f"{NORM}+{CONTINUAL}")
CLEAN = "clean"


@dataclass
class Subject:
    """One trained model under one way of testing.

    Attributes:
        row: of the table: arm and mode; a mode of two words, joined by +, is both at once.
        accuracy: by (corruption, severity), ("clean", 0) first.
    """

    row: tuple[str, str]
    seed: int
    model: nn.Module
    homeostat: Homeostat | None
    paradigm: Paradigm
    adaptation: Adaptation | None = None
    accuracy: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def acts(self) -> set[str]:
        """What changes at test time."""
        return set(self.row[1].split("+"))

    def begin(self, stack: ExitStack) -> None:
        """Put the model into the state that its mode asks for, until the stack is left."""
        self.model.eval()
        if self.acts & {EPISODIC, CONTINUAL}:
            assert self.homeostat is not None
            self.adaptation = stack.enter_context(self.homeostat.adapting())
        if NORM in self.acts:
            stack.enter_context(batch_statistics(self.model))

    @torch.no_grad()
    def test(self, x: Tensor, y: Tensor) -> float:
        """Accuracy on samples x [N, ...], after adaptation to each batch if the mode asks for it. Labels only score."""
        parts = zip(x.split(BATCH), y.split(BATCH), strict=True)
        return sum(int((self._scores(batch).argmax(1) == labels).sum()) for batch, labels in parts) / len(y)

    def _scores(self, x: Tensor) -> Tensor:
        if self.homeostat is None or self.adaptation is None:
            return self.paradigm.scores(self.model, x)
        for _ in range(UPDATES):
            self.paradigm.scores(self.model, x)
            self.homeostat.step()
        with self.homeostat.paused():
            scores = self.paradigm.scores(self.model, x)
        if EPISODIC in self.acts:
            self.adaptation.reset()
        return scores


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norm uses the statistics of each batch, in eval mode too, and leaves the running ones and its own flags alone."""
    modules = _norms(model)
    before = [(module.training, module.track_running_stats) for module in modules]
    for module in modules:
        module.training, module.track_running_stats = True, False
    try:
        yield
    finally:
        for module, (training, tracking) in zip(modules, before, strict=True):
            module.training, module.track_running_stats = training, tracking


def measure(
    out: Path,
    path: Path | None = None,
    limit: int = 500,
    severities: str | None = None,
    names: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Test every kept model of the results folder `out` on clean and corrupted samples.

    Args:
        path: local file or folder with the data, or None for the public name.
        limit: test samples; 0 for all.
        severities, names: comma-separated choices; None for all.
        progress: called with the tests done and their total.

    Returns:
        What was measured: "accuracy" holds rows of arm, mode, seed, corruption, severity and accuracy.

    Raises:
        ResultsError: the folder has no finished pair, or a model was not kept.
        DataError, WorkloadError: the data or a choice does not fit.
    """
    workload, levels = Results(out).read_workload(), corruptions.levels(severities)
    models = _models_of(out)
    splits = data.load(workload, path)
    source = corruptions.source(workload, splits, path, limit)
    chosen = corruptions.chosen(source.names, names)
    subjects = [subject for arm, seed, file in models for subject in _subjects(arm, seed, file, workload, splits)]
    tests = [(CLEAN, 0), *((name, level) for name in chosen for level in levels)]
    with ExitStack() as stack:
        for subject in subjects:
            subject.begin(stack)
        for done, (name, level) in enumerate(tests):
            x = source.clean if name == CLEAN else source.corrupted(name, level)
            for i, subject in enumerate(subjects):
                subject.accuracy[name, level] = subject.test(x, source.labels)
                progress(done * len(subjects) + i + 1, len(tests) * len(subjects))
    return {
        "schema": 1,
        "workload": workload.name,
        "workload_hash": workload.hash,
        "quick": workload.quick,
        "samples": len(source.labels),
        "batch": BATCH,
        "updates": UPDATES,
        "led_to": "each layer to the rate that it had at the end of training",
        "corruptions": list(chosen),
        "severities": list(levels),
        "data": {"source": splits.source, "fingerprint": splits.fingerprint},
        "versions": provenance.versions(),
        "threads": torch.get_num_threads(),
        "accuracy": [
            {"arm": s.row[0], "mode": s.row[1], "seed": s.seed, "corruption": name, "severity": level, "accuracy": value}
            for s in subjects
            for (name, level), value in s.accuracy.items()
        ],
    }


def _models_of(out: Path) -> list[tuple[str, int, Path]]:
    """(arm, seed, file) of the arms that are tested, at the seeds that all of them finished."""
    results, records = Results(out), read(out)
    arms = arms_of(record for record in records if record["status"] == "done")
    wanted = list(dict.fromkeys(arm for arm in ("baseline", "ahsar", best_constant(records)) if arm is not None))
    for arm in wanted:
        if arm not in arms:
            raise ResultsError(
                f"{out}: no finished trial of {arm}: run `ahsar compare --keep` with it and the same --out again"
            )
    seeds = set.intersection(*({record["seed"] for record in arms[arm]} for arm in wanted))
    if not seeds:
        raise ResultsError(f"{out}: {' and '.join(wanted)} have no finished seed in common: run more seeds")
    models = [(arm, seed, results.model(name_of(arm, seed))) for arm in wanted for seed in sorted(seeds)]
    for _, _, file in models:
        if not file.exists():
            raise ResultsError(f"{file} is missing: run the same `ahsar compare` again with --keep, which redoes such trials")
    return models


def _subjects(arm: str, seed: int, file: Path, workload: Workload, splits: data.Splits) -> list[Subject]:
    """A model of its own for every way of testing."""

    def subject(mode: str) -> Subject:
        return Subject((arm, mode), seed, *_load(file, workload, splits), paradigms.build(workload))

    frozen = subject(FROZEN)
    normed = bool(_norms(frozen.model))
    modes = [NORM] if arm in ("baseline", "ahsar") and normed else []
    if arm == "ahsar":
        modes += [EPISODIC, CONTINUAL, *(BOTH if normed else ())]
    return [frozen, *map(subject, modes)]


def _load(file: Path, workload: Workload, splits: data.Splits) -> tuple[nn.Module, Homeostat | None]:
    model = paradigms.rebuild(workload, splits.sample_shape, splits.classes)
    mend = "a model of this workload: remove it and run `ahsar compare --keep` again"
    saved = load_saved(file, mend, ResultsError)
    try:
        model.load_state_dict(saved["model"])
        state = saved["homeostat"]
    except Exception as error:  # torch raises what it likes
        brief = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")
        raise ResultsError(f"{file}: not a file that `ahsar compare` kept ({brief}); expected {mend}") from error
    if state is None:
        return model, None
    homeostat = ahsar.attach(model, config=ahsar.Config.from_dict(state["config"]), layers=list(state["layers"]))
    homeostat.load_state_dict(state)
    return model, homeostat


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
