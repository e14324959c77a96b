"""A trial under each paradigm: the controller's machinery alone changes nothing, the controller does, a seed decides all."""

from dataclasses import replace
from typing import Any

import pytest

from ahsar.lab import data, trial
from tests.lab.paradigms.small import workload


@pytest.mark.parametrize(
    ("paradigm", "fields"),
    [("tbptt", {}), ("tbptt", {"model": "snntorch-conv", "chunk": 1}), ("tet", {}), ("ottt", {}), ("sltt", {"every": 2})],
)
def test_attached_equals_the_baseline_bit_for_bit(paradigm: str, fields: dict[str, Any]) -> None:
    spec = workload(paradigm, **{"widths": (8, 8), "hidden": 0, **fields})
    spec = replace(spec, budget=replace(spec.budget, steps=15, eval_every=15))
    splits = data.load(spec)
    records = {arm: trial.run(spec, splits, arm, 0) for arm in ("baseline", "attached", "ahsar")}
    assert records["attached"]["digest"] == records["baseline"]["digest"]
    assert records["attached"]["curve"][-1]["val_loss"] == records["baseline"]["curve"][-1]["val_loss"]
    assert records["ahsar"]["digest"] != records["baseline"]["digest"]
    assert set(records["ahsar"]["curve"][-1]["scales"].values()) != {1.0}
    assert trial.run(spec, splits, "ahsar", 0)["digest"] == records["ahsar"]["digest"]
    assert trial.run(spec, splits, "ahsar", 1)["digest"] != records["ahsar"]["digest"]
