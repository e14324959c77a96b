"""tonic's event sets on small recordings in their true formats, read by tonic's own readers."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from ahsar.errors import DataError
from ahsar.lab import data
from ahsar.lab.data import Splits, tonic_sets
from ahsar.lab.spec.workload import Data, Model, Workload, load
from tests.lab.data import event_files
from tests.lab.data.event_files import Events

NAMES = tuple(tonic_sets.SOURCES)
TRAIN, TEST = 36, 12  # recordings, of three classes in turn
STEPS = 4
SIZES = {"cifar10-dvs": 16, "dvs-gesture": 32, "nmnist": 17, "ncaltech101": 48, "shd": 0}
WORDS = ("airplane", "automobile", "bird")  # folders of CIFAR10-DVS; N-Caltech101's are any


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AHSAR_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import tonic

    def fail(self: object) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(tonic.Dataset, "download", fail)


def workload_for(name: str, **fields: object) -> Workload:
    fields = {"val_size": 10, "time_steps": STEPS, "size": SIZES[name], **fields}
    spec = Data(name=name, **fields)  # type: ignore[arg-type]
    return replace(load("digits"), data=spec, model=Model(name="mlp", time_steps=spec.time_steps or 4))


def files(name: str) -> dict[str, list[str]]:
    """Where the recordings of each part lie, in the order in which they are read."""
    each = {"train": TRAIN, "test": TEST}
    if name == "nmnist":
        return {p: [f"NMNIST/{p.title()}/{c}/{i:05}.bin" for c in range(3) for i in range(n // 3)] for p, n in each.items()}
    if name == "dvs-gesture":
        users = {p: [f"DVSGesture/ibmGesture{p.title()}/user{i:02}_led" for i in range(n // 3)] for p, n in each.items()}
        return {p: [f"{user}/{c}.npy" for user in folders for c in range(3)] for p, folders in users.items()}
    if name == "shd":
        return {p: [f"SHD/shd_{p}.h5"] * n for p, n in each.items()}
    folder, end = {"cifar10-dvs": ("CIFAR10DVS", "aedat4"), "ncaltech101": ("NCALTECH101/Caltech101", "bin")}[name]
    return {"all": [f"{folder}/{word}/one_{i:02}.{end}" for word in WORDS for i in range(TRAIN // 3)]}


def write(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Events]]:
    """All recordings of a small set, as written."""
    if name == "cifar10-dvs":
        pytest.importorskip("aedat", reason="tonic reads CIFAR10-DVS with the package aedat")
        pytest.importorskip("flatbuffers", reason="CIFAR10-DVS files are written with flatbuffers")
    about = tonic_sets.SOURCES[name]
    paths = files(name)
    monkeypatch.setitem(tonic_sets.SOURCES, name, replace(about, parts={part: len(some) for part, some in paths.items()}))
    sensor = (240, 180) if name == "ncaltech101" else about.sensor
    written = {}
    for seed, (part, some) in enumerate(paths.items()):
        rng = np.random.default_rng(seed)
        ones = [event_files.events(rng, int(rng.integers(150, 400)), sensor, 900_000) for _ in some]
        if name in ("nmnist", "ncaltech101"):
            for one in ones:
                one["t"] //= 3  # 23 bits of time, and N-Caltech101 has its first pixel at the origin
                one["x"][0] = one["y"][0] = 0
        writers = {".bin": event_files.write_bin, ".npy": event_files.write_npy, ".aedat4": event_files.write_aedat4}
        if name == "shd":
            event_files.write_h5(folder / some[0], ones, [row % 3 for row in range(len(ones))])
        else:
            for path, one in zip(some, ones, strict=True):
                writers[about.files](folder / path, one)
        written[part] = ones
    return written


def counted(name: str, one: Events) -> np.ndarray:
    """Frames of a recording, event by event."""
    t = one["t"].astype(np.int64)
    if name == "shd":
        t = ((t / 1e6).astype(np.float16).astype(np.float64) * 1e6).astype(np.int64)
        frames = np.zeros((STEPS, 700), dtype=np.uint8)
        for x, when in zip(one["x"], t, strict=True):
            frames[when // (1_400_000 // STEPS), x] += 1
        return frames
    if name == "dvs-gesture":
        t = t // 1000 * 1000
    window = -(-(t[-1] - t[0] + 1) // STEPS)
    side = SIZES[name]
    factor = tonic_sets.SOURCES[name].sensor[0] // side
    frames = np.zeros((STEPS, 2, side, side), dtype=np.uint8)
    for x, y, p, when in zip(one["x"], one["y"], one["p"], t - t[0], strict=True):
        frames[when // window, p, y // factor, x // factor] += 1
    return frames


def assert_equal(one: Splits, two: Splits) -> None:
    assert one.fingerprint == two.fingerprint and torch.equal(one.train[0], two.train[0])


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_official_or_held_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, name, monkeypatch)
    splits = data.load(workload_for(name), tmp_path)
    official = "train" in files(name)
    test = TEST if official else round(TRAIN / 10)
    train = TRAIN - 10 - (0 if official else test)
    assert [len(y) for _, y in (splits.train, splits.val, splits.test)] == [train, 10, test]
    side = SIZES[name]
    assert splits.sample_shape == ((STEPS, 700) if name == "shd" else (STEPS, 2, side, side)) and splits.classes == 3
    assert splits.train[0].dtype == torch.float32 and splits.train[0].min() == 0
    assert abs(splits.train[0].std() - 1) < 1e-4
    assert torch.bincount(splits.val[1]).min() >= 3
    samples = [x.numpy().tobytes() for pair in (splits.train, splits.val, splits.test) for x in pair[0]]
    assert len(set(samples)) == train + 10 + test
    assert_equal(splits, data.load(workload_for(name), tmp_path / tonic_sets.SOURCES[name].name))
    assert data.load(workload_for(name, split_seed=1), tmp_path).fingerprint != splits.fingerprint
    limited = data.load(workload_for(name, test_limit=6, train_limit=9), tmp_path)
    assert (len(limited.train[1]), len(limited.test[1])) == (9, 6)


@pytest.mark.parametrize("name", NAMES)
def test_frames_hold_every_event_in_its_place(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write(tmp_path, name, monkeypatch)
    spec, about = workload_for(name).data, tonic_sets.SOURCES[name]
    for part, ones in written.items():
        frames, labels = tonic_sets._part(spec, about, tmp_path, part, tonic_sets._shape(spec, about, "here"))
        assert frames.dtype == np.uint8
        assert (frames.sum(tuple(range(1, frames.ndim))) == [len(one["t"]) for one in ones]).all()
        assert (frames == np.stack([counted(name, one) for one in ones])).all()
        in_turn = name in ("dvs-gesture", "shd")
        wanted = [row % 3 if in_turn else row // (len(ones) // 3) for row in range(len(ones))]
        assert labels.tolist() == wanted


def test_framing_is_done_once_for_unchanged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "nmnist", monkeypatch)
    cold = data.load(workload_for("nmnist"), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(tonic_sets, "_read", lambda *_: pytest.fail("read again"))
        assert_equal(cold, data.load(workload_for("nmnist"), tmp_path))
    first = tmp_path / files("nmnist")["train"][0]
    first.write_bytes(first.read_bytes()[:-5])
    assert data.load(workload_for("nmnist"), tmp_path).fingerprint != cold.fingerprint


def test_too_many_events_stay_at_the_largest_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "nmnist", monkeypatch)
    many = {name: np.zeros(300, dtype=np.int64) for name in "xypt"}
    event_files.write_bin(tmp_path / files("nmnist")["test"][0], many)
    spec, about = workload_for("nmnist").data, tonic_sets.SOURCES["nmnist"]
    frames, _ = tonic_sets._part(spec, about, tmp_path, "test", (STEPS, 2, 17, 17))
    assert frames[0, 0, 0, 0, 0] == 255 and frames[0].sum() == 255


# --- what is not there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dvs-gesture"])
def test_without_network_the_error_says_where_it_looked_and_how_to_go_on(name: str, tmp_path: Path) -> None:
    root = tmp_path / tonic_sets.SOURCES[name].name
    with pytest.raises(DataError, match=r"tonic could not download it .*no network here.*unpack it into") as caught:
        data.load(workload_for(name), tmp_path)
    assert f"{name}: no " in str(caught.value) and str(root) in str(caught.value) and f"--data {tmp_path}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gestures_are_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    import tonic

    monkeypatch.setattr(tonic.Dataset, "download", lambda self: pytest.fail("asked the network"))
    where = rf"no \.npy recordings in {tmp_path}/DVSGesture/ibmGestureTrain, and it cannot be downloaded automatically"
    with pytest.raises(DataError, match=rf"{where}; get ibmGestureTrain.tar.gz .*--data"):
        data.load(workload_for("dvs-gesture"), tmp_path)
    with pytest.raises(DataError, match=f"in {own_cache}/tonic/DVSGesture"):
        data.load(workload_for("dvs-gesture"))


def test_what_tonic_downloads_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    import tonic

    write(tmp_path / "away", "nmnist", monkeypatch)
    fetch = lambda self: shutil.copytree(tmp_path / "away", own_cache / "tonic", dirs_exist_ok=True)  # noqa: E731
    monkeypatch.setattr(tonic.Dataset, "download", fetch)
    assert len(data.load(workload_for("nmnist")).test[1]) == TEST


def test_a_part_of_a_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "nmnist", monkeypatch)
    (tmp_path / files("nmnist")["test"][0]).unlink()
    with pytest.raises(
        DataError, match=r"NMNIST/Test: 11 of the 12 recordings of nmnist \(test\); unpack all of test.zip there"
    ):
        data.load(workload_for("nmnist"), tmp_path)


# --- what is broken -------------------------------------------------------------------------------------------------


def _event(column: str, index: int, value: int) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        rng = np.random.default_rng(0)
        one = event_files.events(rng, 50, (34, 34), 255)
        one[column][index] = value
        event_files.write_bin(path, one)

    return harm


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_event("x", 7, 34), r"event 7 has x = 34, out of range \[0, 33\]; fetch it again"),
        (_event("y", 8, 200), r"event 8 has y = 200, out of range \[0, 33\]"),
        (_event("t", 9, 300), "event 10 is earlier than the one before it"),
        (lambda path: path.write_bytes(b""), "(holds no events|not a readable event file)"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), "not a readable event file"),
    ],
)
def test_a_broken_recording_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None], message: str, own_cache: Path
) -> None:
    write(tmp_path, "nmnist", monkeypatch)
    path = tmp_path / files("nmnist")["train"][5]
    harm(path)
    with pytest.raises(DataError, match=message) as caught:
        data.load(workload_for("nmnist"), tmp_path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert not list(own_cache.glob("*"))


def test_other_formats_name_the_recording_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ones = write(tmp_path, "shd", monkeypatch)["train"]
    path = tmp_path / files("shd")["train"][0]
    for column, value, message in (("x", 700, "has x = 700, out of range"), ("t", 1_500_000, "has t = 1500000, out of range")):
        spoilt = [dict(one) for one in ones]
        spoilt[4][column] = np.concatenate([ones[4][column][:-1], [value]])
        event_files.write_h5(path, spoilt, [row % 3 for row in range(TRAIN)])
        with pytest.raises(DataError, match=rf"shd_train.h5: recording 4: event {len(ones[4]['t']) - 1} {message}"):
            data.load(workload_for("shd"), tmp_path)
    os.truncate(path, 1000)
    with pytest.raises(DataError, match=r"SHD: tonic cannot read it"):
        data.load(workload_for("shd"), tmp_path)
    write(tmp_path, "dvs-gesture", monkeypatch)
    gesture = tmp_path / files("dvs-gesture")["test"][2]
    gesture.write_bytes(gesture.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"{gesture}: not a readable event file"):
        data.load(workload_for("dvs-gesture"), tmp_path)


def test_a_broken_aedat_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "cifar10-dvs", monkeypatch)
    path = tmp_path / files("cifar10-dvs")["all"][3]
    os.truncate(path, path.stat().st_size - 40)
    with pytest.raises(DataError, match=f"{path}: not a readable event file"):
        data.load(workload_for("cifar10-dvs"), tmp_path)


def test_without_aedat_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = files("cifar10-dvs")["all"]
    about = replace(tonic_sets.SOURCES["cifar10-dvs"], parts={"all": len(paths)})
    monkeypatch.setitem(tonic_sets.SOURCES, "cifar10-dvs", about)
    monkeypatch.setitem(sys.modules, "aedat", None)
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(DataError, match=r"one_00.aedat4: reading it needs the package 'aedat'; it comes with ahsar\[lab\]"):
        data.load(workload_for("cifar10-dvs"), tmp_path)


def test_polarities_are_two() -> None:
    kind = np.dtype([(name, np.int64) for name in "xypt"])
    events = np.zeros(3, dtype=kind)
    events["p"] = [0, 1, 2]
    with pytest.raises(DataError, match=r"here: event 2 has p = 2, out of range \[0, 1\]"):
        tonic_sets._checked(events, tonic_sets.SOURCES["nmnist"], "here")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("nmnist", {"size": 16}, "data.size = 16 does not divide the sensor's 34 pixels"),
        ("nmnist", {"time_steps": 0}, "data.time_steps = 0: event data is cut into frames"),
        ("shd", {"size": 10}, "data.size = 10, but shd has 700 channels and no pixels; leave it out"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, fields: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        data.load(workload_for(name, **fields), tmp_path)
