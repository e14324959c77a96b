"""The benchmark of overhead measures what it says, on a small scale."""

import json
from pathlib import Path

import pytest
import torch
import torch._dynamo

from benchmarks import compile, overhead, training


def test_overhead_reports_ratios_memory_and_host_copies(tmp_path: Path) -> None:
    threads, out = torch.get_num_threads(), tmp_path / "overhead.json"
    try:
        overhead.main(["--rounds", "2", "--block", "1", "--threads", "1", "--only", "snnTorch", "--out", str(out)])
    finally:
        torch.set_num_threads(threads)
    report = json.loads(out.read_text())
    assert report["import_seconds"] > 0
    (found,) = report["workloads"].values()
    assert found["detached"]["ratio"] == 1 and found["detached"]["extra_tensor_bytes"] == 0
    attached = found["attached, interval 1"]
    assert attached["ratio"] > 0 and attached["quartiles"][0] <= attached["ratio"] <= attached["quartiles"][1]
    assert 0 < attached["extra_tensor_bytes"] < 10_000
    assert attached["extra_host_syncs_per_step"] == 0


def test_the_cost_of_a_whole_training_is_a_ratio_of_totals(tmp_path: Path) -> None:
    threads, out = torch.get_num_threads(), tmp_path / "training.json"
    try:
        training.main(["--steps", "30", "--block", "10", "--threads", "1", "--only", "snnTorch", "--out", str(out)])
    finally:
        torch.set_num_threads(threads)
    report = json.loads(out.read_text())
    (found,) = report["workloads"].values()
    for kind in ("detached again", "attached"):
        low, high = found[kind]["interval"]
        assert 0 < low <= found[kind]["ratio"] <= high
    assert found["resting"] == 2  # past the grace all layers rest; the third is the readout


def test_the_interval_of_equal_turns_is_their_ratio_and_of_unequal_ones_holds_it() -> None:
    assert training.interval([2.0] * 5, [1.0] * 5) == (2.0, 2.0)
    low, high = training.interval([1.0, 3.0, 2.0, 2.0], [1.0] * 4)
    assert 1 <= low < 2 < high <= 3


def test_host_copies_are_counted() -> None:
    tensor = torch.arange(3.0)
    with overhead.Syncs() as syncs:
        tensor.tolist()
        tensor.sum().item()
        _ = tensor + 1
    assert syncs.count == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_the_benchmark_of_compiling_reports_ratios_and_graphs(tmp_path: Path) -> None:
    threads, out = torch.get_num_threads(), tmp_path / "compile.json"
    arguments = ["--rounds", "2", "--block", "1", "--threads", "1", "--backend", "aot_eager", "--only", "SpikingJelly"]
    try:
        torch._dynamo.reset()
        compile.main([*arguments, "--out", str(out)])
    finally:
        torch.set_num_threads(threads)
        torch._dynamo.reset()
    (found,) = json.loads(out.read_text())["workloads"].values()
    assert found["compiled_again"] == 0
    assert [found[kind]["graphs"] for kind in compile.KINDS] == [0, 0, 1, 1]
    assert found["compiled"]["ratio"] == 1 and found["compiled attached"]["ratio"] > 0
