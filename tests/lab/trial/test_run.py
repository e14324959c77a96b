"""One trial: determinism, pairing of the arms, placebos, and what it is measured with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ahsar
from ahsar.errors import WorkloadError
from ahsar.lab import arms, data
from ahsar.lab.results.schema import header
from ahsar.lab.spec import workload
from ahsar.lab.trial import monitor, ranks
from ahsar.lab.trial.run import run_trial
from tests.lab import tiny


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    spec = workload.load(tiny.write(tmp_path_factory.mktemp("tiny"), steps=30))
    splits = data.load(spec)
    named = {arm: run_trial(spec, splits, arm, 3) for arm in ("baseline", "ahsar", "attached", "shuffled", "constant@0.5")}
    named["again"] = run_trial(spec, splits, "ahsar", 3)
    named["other seed"] = run_trial(spec, splits, "ahsar", 4)
    return named


def accuracies(record: dict[str, Any]) -> list[float]:
    return [point["val_metric"] for point in record["curve"]]


def test_a_seed_fixes_the_trial(records: dict[str, Any]) -> None:
    assert records["again"]["digest"] == records["ahsar"]["digest"]
    assert accuracies(records["again"]) == accuracies(records["ahsar"])
    assert records["other seed"]["digest"] != records["ahsar"]["digest"]


def test_attached_equals_the_baseline_bit_for_bit_and_the_others_do_not(records: dict[str, Any]) -> None:
    assert records["attached"]["digest"] == records["baseline"]["digest"]
    assert accuracies(records["attached"]) == accuracies(records["baseline"])
    assert records["attached"]["final_test"] == records["baseline"]["final_test"]
    for arm in ("ahsar", "shuffled", "constant@0.5"):
        assert records[arm]["digest"] != records["baseline"]["digest"]


def test_arms_start_from_the_same_network(records: dict[str, Any]) -> None:
    # a constant scale acts from the first forward on, so that arm is left out
    starts = {records[arm]["curve"][0]["val_loss"] for arm in ("baseline", "ahsar", "attached", "shuffled", "again")}
    assert len(starts) == 1
    assert records["other seed"]["curve"][0]["val_loss"] not in starts


def test_scales_are_those_of_the_arm(records: dict[str, Any]) -> None:
    assert set(records["constant@0.5"]["curve"][-1]["scales"].values()) == {0.5}
    assert set(records["attached"]["curve"][-1]["scales"].values()) == {1.0}
    assert set(records["ahsar"]["curve"][-1]["scales"].values()) != {1.0}


def test_the_record_is_complete(records: dict[str, Any]) -> None:
    record = records["ahsar"]
    assert record["status"] == "done" and record["error"] is None
    assert [point["step"] for point in record["curve"]] == [0, 5, 10, 15, 20, 25, 30]
    assert all(record[key] is not None for key in ("final_test", "final_val", "mean_rate", "seconds", "digest", "spikes"))
    reached = [p["step"] for p in record["curve"] if p["val_metric"] >= record["target"]]
    assert record["steps_to_target"] == (reached[0] if reached else None)
    assert record["seconds"] < record["seconds_with_evaluation"]
    assert set(record["synops"]) == {"acs", "macs", "effective_acs", "effective_macs", "dense"}
    assert 0 < record["synops"]["effective_acs"] <= record["synops"]["acs"] < record["synops"]["dense"]
    assert record["operations"] == {"counter": "ahsar", "samples": 100}  # snnTorch; the whole test set
    assert record["footprint"] > 0 and record["connection_sparsity"] == 0
    settings = ranks.settings("auto", "32-true")
    assert {key: record[key] for key in vars(settings)} == vars(settings)
    started = header(workload.load("digits"), "ahsar", 0, settings)
    assert set(record) - set(started) == {"device", "data"}
    assert ahsar.Config.from_dict(record["config"]) == ahsar.Config()


def test_expand_arms(tmp_path: Path) -> None:
    spec = workload.load(tiny.write(tmp_path))
    assert len(arms.expand(None, spec)) == 4 + len(spec.constant.grid)
    assert arms.expand(["constant@0.5", "baseline", "baseline"], spec) == ["constant@0.5", "baseline"]
    for bad in ("magic", "constant@-1", "constant@x"):
        with pytest.raises(WorkloadError, match=r"unknown arm .*choose from baseline"):
            arms.expand([bad], spec)


def test_shuffled_needs_two_layers(tmp_path: Path) -> None:
    spec = workload.load(tiny.write(tmp_path, depth=1))
    with pytest.raises(WorkloadError, match="at least two spiking layers"):
        run_trial(spec, data.load(spec), "shuffled", 0)


def test_shuffled_gives_each_scale_to_the_next_layer() -> None:
    import snntorch as snn

    model = nn.Sequential(*(snn.Leaky(0.9, init_hidden=True) for _ in range(3)))
    homeostat = arms.build("shuffled").attach(model, torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1))
    assert homeostat is not None
    drive = torch.tensor([-1.0, 0.0, 1.0])
    homeostat._regulator.become(replace(homeostat.state, log_scale=drive))
    homeostat.release()
    meant = drive.exp().tolist()
    assert list(homeostat.scales.values()) == [meant[2], meant[0], meant[1]]
    homeostat._regulator.rewrite()
    assert list(homeostat.scales.values()) == [meant[2], meant[0], meant[1]]


def test_monitor_counts_by_hand() -> None:
    from spikingjelly.activation_based import neuron

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif, self.fc = nn.Conv2d(1, 2, 3, padding=1), neuron.IFNode(), nn.Linear(2 * 4 * 4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.lif.reset()
            self.spikes = self.lif(self.conv(x))
            return self.fc(self.spikes.flatten(1))

    torch.manual_seed(0)
    net, x = Net(), 5 * torch.rand(3, 1, 4, 4)
    with monitor.watch(net) as activity:
        net(x)
    activity.samples = 3
    ones = float((net.spikes != 0).sum())
    assert 0 < ones < net.spikes.numel()
    assert activity.spikes == {"lif": ones} and activity.rates == {"lif": ones / net.spikes.numel()}
    assert activity.per_sample() == {"mean_rate": ones / net.spikes.numel(), "spikes": ones / 3}
    assert not net.conv._forward_hooks and not net.lif._forward_hooks


def test_tensorboard_holds_rates_scales_and_gain(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    spec = workload.load(tiny.write(tmp_path, steps=10))
    record = run_trial(spec, data.load(spec), "ahsar", 0, tensorboard=tmp_path / "board")
    events = EventAccumulator(str(tmp_path / "board" / "ahsar-s0"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    layers = list(record["curve"][-1]["scales"])
    assert {f"scale/{name}" for name in layers} | {f"rate/{name}" for name in layers} | {"gain", "val/metric"} <= tags
    last = events.Scalars(f"scale/{layers[0]}")[-1]
    assert last.step == 10 and last.value == pytest.approx(record["curve"][-1]["scales"][layers[0]])
