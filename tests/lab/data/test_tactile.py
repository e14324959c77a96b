"""Touches as frames: every event in its taxel's pixel, the data's own split, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ahsar.errors import DataError
from ahsar.lab import data
from ahsar.lab.data import tactile
from ahsar.lab.spec.workload import Data, Workload, load

Arrays = dict[str, np.ndarray]
CLASSES, TRAIN, TEST = 3, 12, 4  # samples of a class


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AHSAR_CACHE", str(folder))
    return folder


def workload_for(**fields: object) -> Workload:
    spec = Data(**{"name": "ev-objects", "val_size": 12, "time_steps": 50, **fields})  # type: ignore[arg-type]
    return replace(load("digits"), data=spec, model=replace(load("digits").model, time_steps=spec.time_steps or 4))


def disc() -> np.ndarray:
    """39 places on five rings and in the middle, as the sensor's are: symmetric in x and in y."""
    rings = ((1.5, 4), (3.5, 6), (6.0, 12), (9.0, 16))
    turns = [(r, np.arange(n) / n * 2 * np.pi) for r, n in rings]
    return np.concatenate([[(0.0, 0.0)]] + [np.stack([r * np.cos(a), r * np.sin(a)], 1) for r, a in turns])[:39]


def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    samples = CLASSES * (TRAIN + TEST)
    sizes = rng.integers(5, 60, samples)
    sizes[2] = 0
    count = int(sizes.sum())
    return {
        "x": rng.integers(0, 39, count).astype(np.uint8), "p": rng.integers(0, 2, count).astype(np.uint8),
        "t": np.concatenate([np.sort(rng.integers(0, 250, size)) for size in sizes]).astype(np.uint16),
        "offsets": np.concatenate([[0], np.cumsum(sizes)]), "labels": (np.arange(samples) % CLASSES).astype(np.int16),
        "is_test": (np.arange(samples) >= CLASSES * TRAIN).astype(np.uint8), "taxel_xy": disc().astype(np.float32),
    }  # fmt: skip


def write(folder: Path, table: Arrays) -> Path:
    path = folder / tactile.FILE
    np.savez(path, **table)  # type: ignore[arg-type]
    return path


def test_own_test_split_and_stratified_validation(tmp_path: Path) -> None:
    path = write(tmp_path, arrays())
    splits = data.load(workload_for(), path)
    assert (splits.sample_shape, splits.classes) == ((50, 2, 13, 13), CLASSES)
    assert [len(y) for _, y in (splits.train, splits.val, splits.test)] == [24, 12, 12]
    assert torch.bincount(splits.val[1]).tolist() == [4, 4, 4]
    assert splits.train[0].min() == 0 and abs(splits.train[0].std() - 1) < 1e-4
    again = data.load(workload_for(), tmp_path)
    assert again.fingerprint == splits.fingerprint and torch.equal(again.val[0], splits.val[0])
    other = data.load(workload_for(split_seed=1), path)
    assert not torch.equal(other.val[0], splits.val[0])
    assert sorted(x.sum().item() for x in other.test[0].sign()) == sorted(x.sum().item() for x in splits.test[0].sign())


def test_frames_hold_every_event_in_its_place(tmp_path: Path) -> None:
    table = arrays()
    frames = tactile._frames(write(tmp_path, table), 25)["frames"]
    wanted = np.zeros((len(table["labels"]), 25, 2, 13, 13), dtype=np.uint8)
    pixels = tactile.pixels(table["taxel_xy"])
    for row in range(len(wanted)):
        for i in range(*table["offsets"][row : row + 2]):
            y, x = divmod(int(pixels[table["x"][i]]), 13)
            wanted[row, int(table["t"][i]) // 10, table["p"][i], y, x] += 1
    assert (frames == wanted).all()


def test_real_taxels_keep_their_places_and_the_mirror_symmetry(shared_data: Path) -> None:
    with np.load(shared_data / tactile.FILE) as file:
        places = file["taxel_xy"]
    pixels = tactile.pixels(places)
    assert len(set(pixels)) == 39
    picture = np.zeros((13, 13), dtype=bool)
    picture.flat[pixels] = True
    assert (picture == picture[:, ::-1]).all()
    moved = np.stack([pixels // 13, pixels % 13], 1) - 6 - places / np.abs(places).max() * 6
    assert np.abs(moved).max() <= 0.5 + 1e-6


def test_real_touches(shared_data: Path) -> None:
    splits = data.load(workload_for(val_size=144, time_steps=25), shared_data)
    assert (splits.sample_shape, splits.classes) == ((25, 2, 13, 13), 36)
    assert [len(y) for _, y in (splits.train, splits.val, splits.test)] == [432, 144, 144]
    assert torch.bincount(splits.val[1]).tolist() == [4] * 36 == torch.bincount(splits.test[1]).tolist()


def _spoil(name: str, index: object, value: float) -> Callable[[Arrays], None]:
    def spoil(table: Arrays) -> None:
        table[name][index] = value  # type: ignore[index]

    return spoil


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda table: table.pop("taxel_xy"), "no array 'taxel_xy'"),
        (_spoil("x", 11, 39), r"event 11 has x = 39, out of range \[0, 38\]"),
        (_spoil("p", 12, 2), r"event 12 has p = 2, out of range \[0, 1\]"),
        (_spoil("t", 13, 250), r"event 13 has t = 250, out of range \[0, 249\]"),
        (_spoil("t", 0, 249), "event 1 is earlier than the one before it"),
        (_spoil("is_test", slice(None), 0), "'is_test' must mark samples for training .* and for test"),
        (_spoil("taxel_xy", 3, 0.0), "does not place 39 taxels apart"),
        (_spoil("taxel_xy", 3, np.nan), "does not place 39 taxels apart"),
        (lambda table: table.update(labels=table["labels"][:-1]), "array 'labels' has 47 windows, 'offsets' 48"),
        (lambda table: table.update(x=table["x"].astype(float)), "array 'x' is float64"),
    ],
)
def test_bad_files_name_file_and_event(tmp_path: Path, harm: Callable[[Arrays], object], message: str, own_cache: Path) -> None:
    table = arrays()
    harm(table)
    path = write(tmp_path, table)
    with pytest.raises(DataError, match=message) as caught:
        data.load(workload_for(), path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert not list(own_cache.glob("*"))


def test_what_cannot_be_framed_is_refused(tmp_path: Path) -> None:
    write(tmp_path, arrays())
    with pytest.raises(DataError, match="time_steps = 40 does not divide its 250 steps"):
        data.load(workload_for(time_steps=40), tmp_path)
    with pytest.raises(DataError, match="size = 8, but its taxels fill 13x13 pixels"):
        data.load(workload_for(size=8), tmp_path)
    with pytest.raises(DataError, match=r"no public name .*--data PATH"):
        data.load(workload_for())
    with pytest.raises(DataError, match=f"{tactile.FILE}: no such file"):
        (tmp_path / "empty").mkdir()
        data.load(workload_for(), tmp_path / "empty")
