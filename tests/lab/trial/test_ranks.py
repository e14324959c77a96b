"""A trial on two processes is the trial on one: same curve, rates, scales and gain, and one record."""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from ahsar.errors import AhsarError, WorkloadError
from ahsar.lab import data, paradigms
from ahsar.lab.spec import workload
from ahsar.lab.trial import ranks
from ahsar.lab.trial.run import run_trial
from tests.lab import tiny
from tests.ranks import as_a_user, together

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.xdist_group("torchrun")  # one start of the processes serves most tests here
# name of a trial: paradigm, model, arm
TRIALS = {
    "bptt": ("bptt", "snntorch-conv", "ahsar"),
    "constant": ("bptt", "spikingjelly-conv", "constant@0.3"),
    "tbptt": ("tbptt", "snntorch-conv", "ahsar"),
    "ottt": ("ottt", "spikingjelly-conv", "shuffled"),
    "sltt": ("sltt", "spikingjelly-conv", "ahsar"),
    "eprop": ("eprop", "mlp", "ahsar"),  # writes gradients by hand, as the next one does
    "stdp": ("stdp", "spikingjelly-conv", "no-band"),
}


def spec_of(folder: Path, paradigm: str = "bptt", model: str = "snntorch-conv", more: str = "") -> workload.Workload:
    """A tiny workload that sees its training samples twice, and learns faster than it should."""
    file = tiny.write(folder, steps=15, name=f"{paradigm}-{model}")
    text = file.read_text().replace("test_limit", "train_limit = 100\ntest_limit").replace("5e-3", "3e-2")
    text = text.replace("snntorch-conv", model)
    if paradigm == "stdp":
        text = text.replace('"adam"', '"sgd"')
    if model == "mlp":
        text = text.replace("widths = [4, 4]", "width = 16").replace("strides = [2, 1]", "depth = 2")
    every = "every = 1\n" if paradigm == "sltt" else ""
    file.write_text(f'{text.replace("time_steps = 2", "time_steps = 2" + more)}\n[paradigm]\nname = "{paradigm}"\n{every}')
    return workload.load(file)


def trials(folder: Path) -> dict[str, Any]:
    found, sizes = {}, []
    build = paradigms.build

    def watched(spec: workload.Workload) -> Any:
        """The paradigm, which notes the sizes of the batches that it learns from."""
        paradigm: Any = build(spec)
        learn = paradigm.learn
        paradigm.learn = lambda *args: sizes.append(len(args[2])) or learn(*args)
        return paradigm

    for name, (paradigm, model, arm) in TRIALS.items():
        spec = spec_of(folder, paradigm, model)
        points: list[Any] = []
        keep = folder / f"{name}.pt"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(paradigms, "build", watched)
            record = run_trial(spec, data.load(spec), arm, 3, accelerator="cpu", report=points.append, keep=keep)
        found[name] = {"record": record, "points": len(points), "sizes": sizes.copy()}
        sizes.clear()
        if keep.exists():
            state = torch.load(keep, weights_only=True)["homeostat"]
            found[name]["slow loop"] = [state[key] for key in ("epochs", "gain", "metric_mean", "metric_variance")]
    return found


def before() -> None:
    """What torchrun sets, beside the number of processes."""
    os.environ["LOCAL_RANK"] = os.environ["RANK"]
    # as in pyproject.toml
    warnings.filterwarnings("ignore", "The (read_style_directory|update_nested_dict) function was", DeprecationWarning)


def work(_: None) -> dict[str, Any]:
    """What each process does."""
    folder = Path(os.environ["AHSAR_TEST_FOLDER"]) / os.environ["RANK"]
    folder.mkdir()
    found: dict[str, Any] = {"trials": trials(folder), "files": sorted(path.name for path in folder.glob("*.pt"))}
    normed = spec_of(folder, "bptt", "spikingjelly-conv", "\nbatch_norm = true")
    found["normed"] = run_trial(normed, data.load(normed), "ahsar", 3, accelerator="cpu")
    found["by hand"] = by_hand()
    found["word"] = ranks.first_word("it diverged" if dist.get_rank() == 1 else None)
    found["share"] = [part.tolist() for part in ranks.share(torch.arange(6.0).view(6, 1), torch.arange(6))]
    for name, call in {
        "drift": lambda: ranks.check_agreement(0.5 + dist.get_rank()),
        "nan": lambda: ranks.check_agreement(float("nan")),
        "odd": lambda: ranks.start("cpu", "32-true", 15),
        "compare": lambda: ranks.refuse("compare"),
    }.items():
        try:
            call()
            found[name] = "no error"
        except AhsarError as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def by_hand() -> list[float]:
    """Weights after a step along gradients that no backward pass wrote."""
    weight, idle = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(1))
    fabric = ranks.start("cpu", "32-true", 2)
    _, optimizer = fabric.setup(nn.ParameterList([weight, idle]), torch.optim.SGD([weight, idle], 1.0))
    ranks.average_gradients(optimizer)
    weight.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) * (1 + 2 * dist.get_rank())
    optimizer.step()
    return [*weight.flatten().tolist(), *idle.tolist()]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AHSAR_TEST_FOLDER", str(folder))
        for name, value in {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
            patch.setenv(name, value)
        return together(before, work, 2, folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trials(tmp_path_factory.mktemp("alone"))


def same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Two records tell the same but for time."""
    assert len(got["curve"]) == len(wanted["curve"])
    for point, other in zip(got["curve"], wanted["curve"], strict=True):
        for key in set(other) - {"seconds", "seconds_with_evaluation"}:
            assert point[key] == pytest.approx(other[key], abs=1e-5), key
    assert got["final_test"] == pytest.approx(wanted["final_test"], abs=1e-5)
    assert got["synops"] == pytest.approx(wanted["synops"], rel=1e-5)


@pytest.mark.parametrize("name", TRIALS)
def test_two_processes_are_one(both: list[dict[str, Any]], alone: dict[str, Any], name: str) -> None:
    first, second = (rank["trials"][name]["record"] for rank in both)
    wanted = alone[name]["record"]
    assert (first["processes"], wanted["processes"]) == (2, 1)
    same(first, wanted)
    assert first["digest"] == second["digest"]  # bit for bit: processes never drift apart
    start, end = wanted["curve"][0], wanted["curve"][-1]
    assert start["val_loss"] != pytest.approx(end["val_loss"], abs=1e-3)  # it has learned
    assert (end["scales"] != start["scales"]) == (name != "constant")
    closed, other = both[0]["trials"][name]["slow loop"], alone[name]["slow loop"]
    assert closed == pytest.approx(other, abs=1e-5) and closed[0] == 2


def test_each_process_learns_from_its_share(both: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    assert all(alone[name]["sizes"] == [16] * 15 for name in TRIALS)
    assert all(rank["trials"][name]["sizes"] == [8] * 15 for rank in both for name in TRIALS)
    assert [rank["share"] for rank in both] == [[[[0.0], [2.0], [4.0]], [0, 2, 4]], [[[1.0], [3.0], [5.0]], [1, 3, 5]]]


def test_the_first_process_alone_reports_and_keeps(both: list[dict[str, Any]]) -> None:
    assert [[rank["trials"][name]["points"] for name in TRIALS] for rank in both] == [[4] * len(TRIALS), [0] * len(TRIALS)]
    assert both[0]["files"] == sorted(f"{name}.pt" for name in TRIALS) and both[1]["files"] == []


def test_batch_norm_statistics_are_shared(both: list[dict[str, Any]]) -> None:
    # the digest holds them, and each process has normalised shares of its own
    assert both[0]["normed"]["digest"] == both[1]["normed"]["digest"]


def test_gradients_written_by_hand_are_averaged(both: list[dict[str, Any]]) -> None:
    for rank in both:
        assert rank["by hand"] == [-2.0, -4.0, -6.0, -8.0, 1.0]  # the mean of once and three times


def test_all_processes_end_when_one_diverges(both: list[dict[str, Any]]) -> None:
    assert [rank["word"] for rank in both] == ["it diverged"] * 2


def test_what_cannot_be_shared_is_refused_by_all(both: list[dict[str, Any]]) -> None:
    for rank in both:
        assert rank["drift"].startswith("WorkloadError: the processes drifted apart (validation losses 0.5000, 1.5000)")
        assert rank["nan"] == "no error"  # a diverged trial is a result
        assert rank["odd"].startswith("WorkloadError: a batch of 15 samples has no equal shares for 2 processes")
        assert rank["compare"].startswith("WorkloadError: `ahsar compare` under torchrun: only `ahsar run`")


def test_a_device_that_is_not_there_is_told() -> None:
    missing = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(WorkloadError, match=f"--accelerator {missing} .*do not go with 1 process on this machine"):
        ranks.start(missing, "32-true", 16)


@pytest.mark.slow
def test_ahsar_run_under_torchrun(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ahsar", "run"]
    command += [str(tmp_path / f"{spec.name}.toml"), "--arm", "ahsar", "--seed", "3", "--accelerator", "cpu"]
    command += ["--out", str(tmp_path / "out")]
    done = as_a_user(command, timeout=120)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ahsar-s3.jsonl", "ahsar-s3.pt"]
    (record,) = map(json.loads, (tmp_path / "out" / "ahsar-s3.jsonl").read_text().splitlines())
    assert record["processes"] == 2 and record["status"] == "done"
    same(record, run_trial(spec, data.load(spec), "ahsar", 3, accelerator="cpu"))
    assert done.stdout.count("step     15") == 1
