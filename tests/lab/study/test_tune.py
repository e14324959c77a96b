"""Tuning: the baseline alone, on seeds of its own, and a target that its runs have half a budget left to be late for."""

from pathlib import Path
from statistics import median

import pytest

from ahsar.errors import WorkloadError
from ahsar.lab.spec import workload
from ahsar.lab.study.tune import tune
from tests.lab import tiny


def test_chooses_the_best_rate_and_the_target_of_its_first_half(tmp_path: Path) -> None:
    spec, ended = workload.load(tiny.write(tmp_path, steps=40)), []
    found = tune(spec, None, [1e-6, 5e-2], [1000, 1001], lambda: ended.append(1))
    assert len(ended) == 4 and [row["lr"] for row in found["trials"]] == [1e-6, 1e-6, 5e-2, 5e-2]
    assert found["lr"] == 5e-2 and found["at_end"]
    chosen = [row for row in found["trials"] if row["lr"] == 5e-2]
    assert found["target"] == median(max(row["curve"][:5]) for row in chosen)  # evaluations at steps 0, 5 ... 20 of 40
    again = tune(spec, None, [5e-2], [1000, 1001])
    assert again["target"] == found["target"] and not again["at_end"]


def test_seeds_of_comparisons_are_refused(tmp_path: Path) -> None:
    spec = workload.load(tiny.write(tmp_path))
    with pytest.raises(WorkloadError, match="seed 999 belongs to comparisons; tune with seeds from 1000 on"):
        tune(spec, None, [1e-3], [999, 1000])
    with pytest.raises(WorkloadError, match="at least one learning rate"):
        tune(spec, None, [], [1000])
