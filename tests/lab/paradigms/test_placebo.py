"""A trial under each paradigm: the controller's machinery alone changes nothing, the controller does, a seed decides all."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from ahsar.lab import data
from ahsar.lab.models.spikingjelly_conv import SpikingjellyConv
from ahsar.lab.trial.run import run_trial
from tests.lab.paradigms.small import workload


@pytest.mark.parametrize(
    ("paradigm", "fields"),
    [
        ("tbptt", {}),
        ("tbptt", {"model": "snntorch-conv", "chunk": 1}),
        ("tet", {}),
        ("ottt", {}),
        ("sltt", {"every": 2}),
        ("conversion", {"neuron": "if", "ann_steps": 30}),
        ("stdp", {}),
    ],
)
def test_attached_equals_the_baseline_bit_for_bit(paradigm: str, fields: dict[str, Any]) -> None:
    spec = workload(paradigm, **{"widths": (8, 8), "hidden": 0, **fields})
    spec = replace(spec, budget=replace(spec.budget, steps=15, eval_every=15))
    splits = data.load(spec)
    records = {arm: run_trial(spec, splits, arm, 0) for arm in ("baseline", "attached", "ahsar")}
    assert records["attached"]["digest"] == records["baseline"]["digest"]
    assert records["attached"]["curve"][-1]["val_loss"] == records["baseline"]["curve"][-1]["val_loss"]
    moved = set(records["ahsar"]["curve"][-1]["scales"].values()) != {1.0}
    # a converted network was trained before, and the layers that STDP trains are healthy here: they are left alone
    assert moved == (paradigm not in ("conversion", "stdp"))
    assert (records["ahsar"]["digest"] != records["baseline"]["digest"]) == moved
    assert run_trial(spec, splits, "ahsar", 0)["digest"] == records["ahsar"]["digest"]
    assert run_trial(spec, splits, "ahsar", 1)["digest"] != records["ahsar"]["digest"]


@pytest.mark.parametrize("paradigm", ["bptt", "tbptt", "tet", "ottt", "sltt"])
def test_training_and_evaluation_compute_in_the_trials_precision(paradigm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    step = SpikingjellyConv.step

    def watched(self: SpikingjellyConv, x: torch.Tensor) -> torch.Tensor:
        logits = step(self, x)
        seen[self.training].add(logits.dtype)
        return logits

    monkeypatch.setattr(SpikingjellyConv, "step", watched)
    spec = workload(paradigm, widths=(4, 4), hidden=0)
    spec = replace(spec, budget=replace(spec.budget, steps=2, eval_every=2))
    record = run_trial(spec, data.load(spec), "ahsar", 0, precision="bf16-mixed")
    assert seen == {True: {torch.bfloat16}, False: {torch.bfloat16}}
    assert record["status"] == "done"
