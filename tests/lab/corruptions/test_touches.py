"""Corrupted touches: framed as the loader does, on taxels only, by the stated amounts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ahsar.lab import corruptions, data
from ahsar.lab.corruptions import events
from ahsar.lab.data import tactile
from tests.lab.data.test_tactile import arrays, workload_for, write


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AHSAR_CACHE", str(tmp_path / "cache"))


def test_clean_touches_are_framed_as_the_loader_does(tmp_path: Path) -> None:
    table = arrays()
    path = write(tmp_path, table)
    for fields in ({}, {"test_limit": 10}):
        workload = workload_for(time_steps=25, **fields)
        splits = data.load(workload, path)
        source = corruptions.source(workload, splits, path, 9)
        assert isinstance(source, corruptions.EventSource) and len(source.labels) == len(source.windows) == 9
        assert torch.equal(source.framed(source.windows), splits.test[0][:9])
        taxels = torch.zeros(169).index_fill_(0, torch.from_numpy(tactile.pixels(table["taxel_xy"])), 1).bool().view(13, 13)
        for name in source.names:
            made = source.corrupted(name, 4)
            assert made.shape == source.clean.shape and not torch.equal(made, source.clean), name
            assert torch.equal(made, source.corrupted(name, 4))
            assert not made[..., ~taxels].any(), name  # no event where no taxel is


@pytest.mark.parametrize("level", corruptions.LEVELS)
def test_touches_lose_whole_taxels_and_gain_events_as_stated(tmp_path: Path, level: int) -> None:
    windows = tactile.windows_of_test(workload_for().data, write(tmp_path, arrays()))
    sensor = events.Sensor(windows.sensor, windows.length)
    every = np.concatenate(windows.events)
    left = np.concatenate(events.corrupt(windows.events, sensor, "drop-pixel", level))
    dead = round(39 * events.SEVERITIES["drop-pixel"][level - 1])
    assert len(np.unique(every["x"])) == 39 and len(np.unique(left["x"])) == 39 - dead
    assert np.array_equal(left, every[np.isin(every["x"], left["x"])])
    moved = np.concatenate(events.corrupt(windows.events, sensor, "time-jitter", level))
    assert len(moved) == len(every) and moved["t"].min() >= 0 and moved["t"].max() < 250
    noisy = events.corrupt(windows.events, sensor, "uniform-noise", level)
    share = events.SEVERITIES["uniform-noise"][level - 1]
    added = [len(after) - len(before) for before, after in zip(windows.events, noisy, strict=True)]
    assert set(added) == {round(share * len(every) / len(windows.events))}


def test_steps_of_touches_are_not_shifted_by_rounding(tmp_path: Path) -> None:
    windows = tactile.windows_of_test(workload_for().data, write(tmp_path, arrays()))
    still = np.repeat(windows.events[0][:1], 4000)
    still["t"] = 125.5
    moved = events.corrupt([still], events.Sensor(windows.sensor, windows.length), "time-jitter", 1)[0]["t"]
    assert abs(np.floor(moved).mean() - 125) < 0.3 and moved.std() == pytest.approx(5, rel=0.05)
