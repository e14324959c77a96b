"""The controller with one thing changed: each arm changes what it says, and the trial."""

from pathlib import Path
from typing import Any

import pytest
import torch

import ahsar
from ahsar.lab import arms, data
from ahsar.lab.arms.variants import CHANGES, Variant
from ahsar.lab.results.records import rank
from ahsar.lab.spec import workload
from ahsar.lab.trial.run import run_trial
from tests.lab import tiny
from tests.lab.arms import nets


def test_every_variant_is_described_and_differs_from_the_default() -> None:
    assert list(CHANGES) == list(arms.VARIANTS)
    default = ahsar.Config().to_dict()
    for name, changes in CHANGES.items():
        made = arms.build(name)
        assert isinstance(made, Variant)
        told = made.config.to_dict()
        assert {key for key in told if told[key] != default[key]} == set(changes)
    trained: Any = arms.build("no-rest", trained=True)
    assert trained.config.trained and sorted(["lr@5", "no-rest", "ahsar"], key=rank) == ["ahsar", "no-rest", "lr@5"]


def test_all_at_once(tmp_path: Path) -> None:
    spec = workload.load(tiny.write(tmp_path))
    assert arms.expand(["baseline", "variants"], spec) == ["baseline", *arms.VARIANTS]


@pytest.mark.parametrize("name", ["ahsar", "one-scale"])
def test_one_scale_for_all_is_the_geometric_mean_of_theirs(name: str) -> None:
    model = nets.build("spikingjelly-conv", threshold=2.0)
    homeostat: Any = arms.build(name).attach(model, torch.optim.SGD(model.parameters(), 0.1))
    for _ in range(4):
        model(nets.batch())
        homeostat.step()
    scales = torch.tensor(list(homeostat.scales.values()))
    assert len(scales) > 1 and bool((scales != 1).any())
    assert bool((scales == scales[0]).all()) is (name == "one-scale")
    assert scales.log().mean().item() == pytest.approx(homeostat.state.log_scale.mean().item(), abs=1e-6)


def test_a_variant_is_a_trial_of_its_own(tmp_path: Path) -> None:
    spec = workload.load(tiny.write(tmp_path, steps=8))
    splits = data.load(spec)
    records = {name: run_trial(spec, splits, name, 0) for name in ("ahsar", "slow-start")}
    assert len({record["digest"] for record in records.values()}) == 2
    assert records["slow-start"]["config"]["reaction"] == 0.1
