"""What all rivals share: names, grids, pairing with the baseline, and that each changes something."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ahsar.errors import WorkloadError
from ahsar.lab import arms, data
from ahsar.lab.spec import workload
from ahsar.lab.trial.run import run_trial
from tests.lab import tiny
from tests.lab.arms import nets


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    spec = workload.load(tiny.write(tmp_path_factory.mktemp("tiny"), steps=10))
    spec = replace(spec, model=replace(spec.model, time_steps=6, tau=10.0))  # so that neurons spike twice
    splits = data.load(spec)
    names = ["baseline", "lr@1", "adaptation@2", *(rival for rival in arms.RIVALS if rival not in ("adaptation", "tebn"))]
    return {name: run_trial(spec, splits, name, 3) for name in names}


def test_all_have_equally_many_numbers_to_tune() -> None:
    assert list(arms.GRIDS) == list(arms.RIVALS)
    assert len({len(grid) for grid in arms.GRIDS.values()}) == 1
    for rival, grid in arms.GRIDS.items():
        assert list(grid) == sorted(set(grid)) and grid[0] > 0
        for number in grid:
            arms.build(f"{rival}@{number:g}")


def test_each_changes_the_trial(tried: dict[str, Any]) -> None:
    digests = [record["digest"] for name, record in tried.items() if name != "lr@1"]
    assert len(set(digests)) == len(digests)


def test_the_learning_rate_unchanged_is_the_baseline(tried: dict[str, Any]) -> None:
    assert tried["lr@1"]["digest"] == tried["baseline"]["digest"]


def test_pairs_start_alike(tried: dict[str, Any]) -> None:
    """Where neither weights nor thresholds differ before the first step, the first evaluation is the baseline's."""
    for name in ("lr", "learnable", "rate-loss", "ds-atgo"):
        assert tried[name]["curve"][0]["val_loss"] == pytest.approx(tried["baseline"]["curve"][0]["val_loss"], abs=1e-6)


@pytest.mark.parametrize("rival", arms.RIVALS)
def test_prepare_draws_nothing_and_keeps_the_weights(rival: str) -> None:
    net = nets.build("spikingjelly-conv", batch_norm=True)
    before, draws = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    net = arms.build(rival).prepare(net, nets.batch())
    assert torch.equal(torch.get_rng_state(), draws)
    after = net.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert all(rival == "fluctuation" and ".norm." in name for name in changed)


@pytest.mark.parametrize("rival", ["learnable", "rate-loss", "adaptation", "ds-atgo", "fluctuation"])
def test_rivals_treat_the_layers_that_the_controller_regulates(rival: str) -> None:
    from spikingjelly.activation_based import neuron

    mixed = torch.nn.Sequential(torch.nn.Linear(3, 4), neuron.IFNode(step_mode="m"), neuron.NonSpikingIFNode())
    arms.build(rival).prepare(mixed, torch.rand(2, 5, 3))
    with pytest.raises(WorkloadError, match=rf"arm '{rival}': the network has no spiking layer.*--arms"):
        arms.build(rival).prepare(torch.nn.Linear(3, 4), torch.rand(2, 3))


def test_expand(tmp_path: Path) -> None:
    spec = workload.load(tiny.write(tmp_path))
    assert arms.expand(["lr", "lr@5", "rate-loss@0.3"], spec) == ["lr@5", "rate-loss@0.3"]
    every = arms.expand(["rivals"], spec)
    assert [name.partition("@")[0] for name in every] == [name for name in arms.RIVALS if name != "tebn"]
    deep = workload.load("fashion-deep", quick=True)
    assert [name.partition("@")[0] for name in arms.expand(["rivals"], deep)] == list(arms.RIVALS)
    attention = replace(deep, model=replace(deep.model, name="spikformer", widths=(), strides=(), width=16))
    assert [arms.fits(rival, attention) for rival in ("fluctuation", "tebn", "ds-atgo")] == [False, False, True]
    online = replace(deep, paradigm=replace(deep.paradigm, name="sltt"))
    assert {"tebn@1", "adaptation@0.2", "ds-atgo@1"}.isdisjoint(arms.expand(["rivals"], online))
    for bad in ("lr@0", "lr@-1", "lr@x", "lr@inf", "lr@nan", "lr@", "baseline@1"):
        with pytest.raises(WorkloadError, match="unknown arm"):
            arms.expand([bad], spec)
