"""Loaders on small files in the true formats, and on the real data where it lies beside the checkout."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ahsar.errors import DataError
from ahsar.lab import data
from ahsar.lab.data import Splits, cache, events, images, stratified_order
from ahsar.lab.spec.workload import Data, Workload, load

Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AHSAR_CACHE", str(folder))
    return folder


def workload_for(**fields: object) -> Workload:
    spec = Data(**fields)  # type: ignore[arg-type]
    base = load("digits")
    return replace(base, data=spec, model=replace(base.model, time_steps=spec.time_steps or 4))


def small_images(**fields: object) -> Workload:
    return workload_for(**{"name": "fashion_mnist", "val_size": 30, **fields})


def small_events(**fields: object) -> Workload:
    return workload_for(**{"name": "dvs-objects", "val_size": 20, "time_steps": 4, "size": 16, "window_gap": 2, **fields})


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def write_parquet(
    path: Path,
    count: int,
    *,
    image: str = "image",
    label: str = "label",
    side: int = 8,
    colour: bool = False,
    classes: int = 10,
) -> None:
    """`count` images whose top left pixels tell their row, labels 0 ... classes - 1 in turn."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(count)
    cells = []
    for row in range(count):
        pixels = rng.integers(0, 256, (side, side, 3) if colour else (side, side), dtype=np.uint8)
        pixels[0, 0], pixels[0, 1] = row % 256, row // 256
        cells.append({"bytes": png(pixels), "path": None})
    pq.write_table(pa.table({image: cells, label: [row % classes for row in range(count)]}), path)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_parquet(folder / "train.parquet", 150)
    write_parquet(folder / "test.parquet", 40)
    return folder


def event_arrays() -> Arrays:
    """Six recordings of 30 windows: five of the training session (one class twice, one class skipped), three of the test."""
    labels_of = [0, 1, 3, 3, 0, 1, 3, 2]
    sessions = [0, 0, 0, 0, 1, 1, 1, 255]
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 40, 30 * len(labels_of))
    sizes[3] = 0  # an empty window
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    count = int(offsets[-1])
    times = np.concatenate([np.sort(rng.integers(0, 100_000, size)) for size in sizes])
    return {
        "x": rng.integers(0, 128, count).astype(np.uint8), "y": rng.integers(0, 128, count).astype(np.uint8),
        "p": rng.integers(0, 2, count).astype(np.uint8), "t": times.astype(np.uint32), "offsets": offsets,
        "labels": np.repeat(labels_of, 30).astype(np.uint8),
        "rec_id": np.repeat(np.arange(len(labels_of)), 30).astype(np.uint8),
        "split_session": np.repeat(sessions, 30).astype(np.uint8), "window_us": np.array(100_000),
    }  # fmt: skip


def write_events(folder: Path, arrays: Arrays) -> Path:
    path = folder / events.FILE
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def assert_equal(one: Splits, two: Splits) -> None:
    assert one.fingerprint == two.fingerprint
    for a, b in zip((one.train, one.val, one.test), (two.train, two.val, two.test), strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def assert_disjoint(splits: Splits) -> None:
    """No sample is in two splits (the samples at hand are all different)."""
    seen: set[bytes] = set()
    for x, _ in (splits.train, splits.val, splits.test):
        keys = {sample.numpy().tobytes() for sample in x}
        assert not seen & keys
        seen |= keys


# --- digits ---------------------------------------------------------------------------------------------------------


def test_digits_have_three_stratified_splits_without_overlap() -> None:
    splits = data.load(load("digits"))
    sizes = [len(y) for _, y in (splits.train, splits.val, splits.test)]
    assert sum(sizes) == 1797 and sizes[1:] == [load("digits").data.val_size, load("digits").data.test_limit]
    assert (splits.sample_shape, splits.classes) == ((1, 8, 8), 10)
    assert splits.train[0].min() >= 0 and splits.train[0].max() == 1.0
    for x, y in (splits.train, splits.val, splits.test):
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        shares = torch.bincount(y, minlength=10) / len(y)
        assert (shares - 0.1).abs().max() < 0.015
    assert_equal(splits, data.load(load("digits")))
    other = replace(load("digits"), data=replace(load("digits").data, split_seed=1))
    assert data.load(other).fingerprint != splits.fingerprint


def test_digits_refuse_a_path_and_sizes_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing would be read from there for digits; leave --data out"):
        data.load(load("digits"), tmp_path)
    with pytest.raises(DataError, match=r"data.val_size = 1500 but only 1397 samples are left"):
        data.load(workload_for(name="digits", val_size=1500))
    with pytest.raises(DataError, match=r"data.train_limit = 2000"):
        data.load(workload_for(name="digits", val_size=100, train_limit=2000))


def test_a_class_that_a_split_lacks_is_named() -> None:
    x, y = torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 2, 1])
    with pytest.raises(DataError, match=r"here: the val split has no sample of class 2; raise its size"):
        data.make_splits((x, y), (x[:2], y[:2]), (x, y), 3, "here")


def test_every_stretch_of_the_stratified_order_is_stratified() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = stratified_order(labels, 0)
    assert sorted(order) == list(range(1000))
    for start in (0, 100, 450):
        counts = np.bincount(labels[order[start : start + 200]])
        assert np.abs(counts - [120, 60, 20]).max() <= 1
    assert (stratified_order(labels, 1) != order).any()


# --- images ---------------------------------------------------------------------------------------------------------


def test_images_are_split_limited_and_normalised_by_train(image_folder: Path) -> None:
    splits = data.load(small_images(train_limit=100, test_limit=20), image_folder)
    assert [len(y) for _, y in (splits.train, splits.val, splits.test)] == [100, 30, 20]
    assert (splits.sample_shape, splits.classes) == ((1, 8, 8), 10)
    assert abs(splits.train[0].mean()) < 1e-5 and abs(splits.train[0].std() - 1) < 1e-2
    assert torch.bincount(splits.val[1]).tolist() == [3] * 10
    assert_disjoint(splits)


def test_pixels_and_labels_survive_decoding(image_folder: Path) -> None:
    import pyarrow.parquet as pq
    from PIL import Image

    rows = pq.read_table(image_folder / "test.parquet").to_pylist()
    wanted = {np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))).tobytes(): row["label"] for row in rows}
    arrays, _ = images._from_files(image_folder, images.SOURCES["fashion_mnist"])
    found = {x.tobytes(): int(y) for x, y in zip(arrays["test_x"], arrays["test_y"], strict=True)}
    assert found == wanted


def test_colour_images_other_column_names_and_averaging(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00001.parquet", 60, image="img", colour=True)
    write_parquet(tmp_path / "test-00000-of-00001.parquet", 20, image="img", colour=True)
    workload = small_images(name="cifar10", val_size=10, size=4)
    assert data.load(workload, tmp_path).sample_shape == (3, 4, 4)
    assert data.load(workload, tmp_path / "train-00000-of-00001.parquet").sample_shape == (3, 4, 4)
    with pytest.raises(DataError, match=r"data.size = 3 does not divide the images' 8x8 pixels"):
        data.load(small_images(val_size=10, size=3), tmp_path)


@pytest.mark.parametrize(
    ("name", "label", "test", "channels"),
    [("mnist", "label", "test", 1), ("cifar100", "fine_label", "test", 3), ("tiny-imagenet", "label", "valid", 3)],
)
def test_other_image_sets(name: str, label: str, test: str, channels: int, tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", 600, label=label, classes=200 if name == "tiny-imagenet" else 10)
    write_parquet(tmp_path / f"{test}.parquet", 200, label=label, classes=200 if name == "tiny-imagenet" else 10)
    workload = small_images(name=name, val_size=200, size=4)
    splits = data.load(workload, tmp_path)
    assert splits.sample_shape == (channels, 4, 4) and splits.classes == (200 if name == "tiny-imagenet" else 10)
    assert [len(y) for _, y in (splits.train, splits.val, splits.test)] == [400, 200, 200]
    (tmp_path / f"{test}.parquet").unlink()
    with pytest.raises(
        DataError, match=rf"no {test}\*.parquet in it; give --data a folder with train.parquet and {test}.parquet"
    ):
        data.load(workload, tmp_path)


def test_normalisation_can_be_undone(image_folder: Path) -> None:
    splits = data.load(small_images(), image_folder)
    assert splits.normalised is not None
    mean, deviation = splits.normalised
    assert mean.shape == deviation.shape == (1, 1, 1)
    pixels = {tuple(x.tolist()) for x in ((splits.test[0] * deviation + mean) * 255).round().int().flatten(1)}
    arrays, _ = images._from_files(image_folder, images.SOURCES["fashion_mnist"])
    assert pixels == {tuple(x) for x in arrays["test_x"].reshape(40, -1).tolist()}
    plain = data.load(load("digits")).normalised  # as they are
    assert plain is not None and (float(plain[0]), float(plain[1])) == (0.0, 1.0)


def test_large_sets_are_converted_in_parts(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data.load(small_images(), image_folder)
    monkeypatch.setattr(images, "_CHUNK", 7)
    assert_equal(whole, data.load(small_images(), image_folder))


def test_a_cache_hit_equals_a_cold_load_and_decodes_nothing(
    image_folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = data.load(small_images(), image_folder)
    assert [path.suffix for path in own_cache.iterdir()] == [".npz"]
    monkeypatch.setattr(images, "decode", lambda *_: pytest.fail("decoded again"))
    assert_equal(cold, data.load(small_images(), image_folder))


def test_a_corrupt_or_outdated_cache_is_rebuilt(image_folder: Path, own_cache: Path) -> None:
    cold = data.load(small_images(), image_folder)
    (file,) = own_cache.iterdir()
    intact = file.read_bytes()
    flipped = bytearray(intact)
    flipped[len(flipped) // 3] ^= 0xFF  # one pixel: only the CRC can tell
    for damaged in (intact[:-100], bytes(flipped), b"", b"no archive"):
        file.write_bytes(damaged)
        assert_equal(cold, data.load(small_images(), image_folder))
        assert len(file.read_bytes()) == len(intact)
    write_parquet(image_folder / "train.parquet", 160)
    assert data.load(small_images(), image_folder).fingerprint != cold.fingerprint


def test_an_unwritable_cache_is_a_warning(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AHSAR_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="set AHSAR_CACHE to a writable folder"):
        data.load(small_images(), image_folder)


def test_the_cache_has_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AHSAR_CACHE")
    assert cache.folder().name == "ahsar"


def test_loading_prints_nothing_and_leaves_the_display_settings(image_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import datasets

    before = datasets.is_progress_bar_enabled(), datasets.logging.get_verbosity()
    data.load(small_images(), image_folder)
    assert (datasets.is_progress_bar_enabled(), datasets.logging.get_verbosity()) == before
    assert capfd.readouterr() == ("", "")


def test_without_network_the_error_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match=r"zalando-datasets/fashion_mnist cannot be had .*reach the Hub.*--data PATH"):
        data.load(small_images())


def test_a_public_name_is_fetched_once(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def hub(name: str, split: str) -> object:
        asked.append((name, split))
        return datasets.Dataset.from_parquet(str(image_folder / f"{split}.parquet"), cache_dir=str(image_folder / "hf"))

    monkeypatch.setattr(datasets, "load_dataset", hub)
    first = data.load(small_images())
    assert_equal(first, data.load(small_images()))
    assert asked == [("zalando-datasets/fashion_mnist", split) for split in ("train", "test")]
    assert first.source == "hub zalando-datasets/fashion_mnist"


def _truncate(folder: Path) -> None:
    path = folder / "train.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def _break_a_picture(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "train.parquet").to_pydict()
    table["image"][7]["bytes"] = table["image"][7]["bytes"][:60]
    pq.write_table(pa.table(table), folder / "train.parquet")


def _label_with_words(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "train.parquet").to_pydict()
    pq.write_table(pa.table({**table, "label": list(map(str, table["label"]))}), folder / "train.parquet")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "test.parquet").unlink(), r"no test\*.parquet in it; give --data"),
        (_truncate, "train.parquet: not a readable parquet file"),
        (_break_a_picture, "train.parquet: row 7 of train holds no readable image"),
        (_label_with_words, "column 'label' must hold whole numbers"),
        (
            lambda folder: write_parquet(folder / "train.parquet", 20, image="picture"),
            "no column 'image' or 'img'; it has picture, label",
        ),
        (lambda folder: write_parquet(folder / "train.parquet", 20, label="kind"), "no column 'label' or 'labels'"),
        (
            lambda folder: write_parquet(folder / "test.parquet", 20, side=6),
            "train images are .8, 8, 1. and test images .6, 6, 1.",
        ),
        (lambda folder: write_parquet(folder / "train.parquet", 0), "train.parquet: "),
        (lambda folder: write_parquet(folder / "train.parquet", 25), "data.val_size = 30 but only 25 samples"),
    ],
)
def test_bad_image_files_are_named(image_folder: Path, harm: Callable[[Path], None], message: str, own_cache: Path) -> None:
    harm(image_folder)
    with pytest.raises(DataError, match=message) as caught:
        data.load(small_images(), image_folder)
    assert "\n" not in str(caught.value)
    assert not [path for path in own_cache.glob("*") if path.suffix != ".npz"]


@pytest.mark.parametrize("name", ["fashion_mnist", "dvs-objects"])
def test_a_path_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    workload = small_events() if name == "dvs-objects" else small_images()
    with pytest.raises(DataError, match="absent: no such file or folder; give an existing one with --data PATH"):
        data.load(workload, tmp_path / "absent")


# --- events ---------------------------------------------------------------------------------------------------------


def test_events_become_frames_split_by_session(tmp_path: Path) -> None:
    path = write_events(tmp_path, event_arrays())
    splits = data.load(small_events(), path)
    assert (splits.sample_shape, splits.classes) == ((4, 2, 16, 16), 3)
    assert len(splits.val[1]) == 20 and len(splits.test[1]) == 90
    # Four recordings lose 5 windows to validation and at most 2 gaps of 2.
    assert 4 * (30 - 9) <= len(splits.train[1]) <= 4 * (30 - 7)
    assert abs(splits.train[0].std() - 1) < 1e-5 and splits.train[0].min() == 0
    assert_equal(splits, data.load(small_events(), tmp_path))


def test_frames_hold_every_event_in_its_place(tmp_path: Path) -> None:
    arrays = event_arrays()
    frames = events._frames(write_events(tmp_path, arrays), 4, 16)["frames"]
    assert frames.shape == (7 * 30, 4, 2, 16, 16)
    assert (frames.sum((1, 2, 3, 4), dtype=np.int64) == np.diff(arrays["offsets"])[: 7 * 30]).all()
    wanted = np.zeros_like(frames)
    for row in range(7 * 30):
        for i in range(*arrays["offsets"][row : row + 2]):
            x, y, p, t = (int(arrays[name][i]) for name in "xypt")
            wanted[row, t // 25_000, p, y // 8, x // 8] += 1
    assert (frames == wanted).all()


def test_validation_is_one_stretch_of_each_recording_with_a_gap(tmp_path: Path) -> None:
    recordings = np.repeat([4, 7, 9], [50, 30, 80])
    usable = recordings != 9
    for seed in range(20):
        spec = small_events(split_seed=seed, val_size=16, window_gap=3).data
        train, val = events.hold_out_blocks(recordings, usable, spec, "here")
        assert len(val) == 16 and not set(train) & set(val)
        assert np.abs(train[:, None] - val[None, :])[recordings[train][:, None] == recordings[val][None, :]].min() > 3
        for name, size in ((4, 10), (7, 6)):
            rows = val[recordings[val] == name]
            assert len(rows) == size and (np.diff(rows) == 1).all()
    with pytest.raises(DataError, match=r"takes 50 of recording 4's 50 windows"):
        events.hold_out_blocks(recordings, usable, small_events(val_size=80).data, "here")


def test_event_cache_hit_equals_cold_load(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_events(tmp_path, event_arrays())
    cold = data.load(small_events(), path)
    with monkeypatch.context() as patch:
        patch.setattr(events, "_frames", lambda *_: pytest.fail("framed again"))
        assert_equal(cold, data.load(small_events(), path))
    (file,) = own_cache.iterdir()
    os.truncate(file, 1000)
    assert_equal(cold, data.load(small_events(), path))
    assert data.load(small_events(size=8), path).sample_shape == (4, 2, 8, 8)


def _spoil(name: str, index: int, value: int) -> Callable[[Arrays], None]:
    def spoil(arrays: Arrays) -> None:
        arrays[name][index] = value

    return spoil


def _drop_last(name: str) -> Callable[[Arrays], None]:
    def drop(arrays: Arrays) -> None:
        arrays[name] = arrays[name][:-1]

    return drop


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda arrays: arrays.pop("offsets"), "no array 'offsets'; it has x, y"),
        (_drop_last("t"), "array 't' has [0-9]+ events, 'x' has"),
        (_drop_last("labels"), "array 'labels' has 239 windows, 'offsets' 240"),
        (_drop_last("offsets"), "array 'labels' has 240 windows, 'offsets' 239"),
        (_spoil("offsets", 240, 10), "offsets decrease at window 239"),
        (_spoil("offsets", 0, 1), "offsets (run from 1|decrease at window 0)"),
        (_spoil("x", 11, 200), r"event 11 has x = 200, out of range \[0, 127\]"),
        (_spoil("p", 12, 2), r"event 12 has p = 2, out of range \[0, 1\]"),
        (_spoil("t", 13, 100_000), r"event 13 has t = 100000, out of range \[0, 99999\]"),
        (lambda arrays: arrays.update(x=arrays["x"].astype(float)), "array 'x' is float64"),
        (lambda arrays: arrays.update(split_session=np.full(240, 255)), "no window for training"),
        (lambda arrays: arrays.update(window_us=np.array(99_999)), "time_steps = 4 does not divide its windows of 99999 us"),
    ],
)
def test_bad_event_files_name_file_and_event(tmp_path: Path, harm: Callable[[Arrays], object], message: str) -> None:
    arrays = event_arrays()
    if "99_999" in message or "99999 us" in message:
        arrays["t"] = np.minimum(arrays["t"], 99_998)
    harm(arrays)
    path = write_events(tmp_path, arrays)
    with pytest.raises(DataError, match=message) as caught:
        data.load(small_events(), path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_events_out_of_order_are_found_within_windows_only(tmp_path: Path) -> None:
    arrays = event_arrays()
    start = int(arrays["offsets"][np.argmax(np.diff(arrays["offsets"]) > 5)])
    arrays["t"][start] = 99_999
    with pytest.raises(DataError, match=f"event {start + 1} is earlier than the one before it"):
        data.load(small_events(), write_events(tmp_path, arrays))


def test_truncated_missing_and_nameless_event_files(tmp_path: Path) -> None:
    path = write_events(tmp_path, event_arrays())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="not a readable npz file"):
        data.load(small_events(), path)
    path.unlink()
    with pytest.raises(DataError, match=f"{events.FILE}: no such file"):
        data.load(small_events(), tmp_path)
    with pytest.raises(DataError, match=r"no public name .*--data PATH"):
        data.load(small_events())
    with pytest.raises(DataError, match=r"size = 48 does not divide the sensor's 128"):
        data.load(small_events(size=48), write_events(tmp_path, event_arrays()))


# --- the real files -------------------------------------------------------------------------------------------------


def test_real_events_by_session(shared_data: Path) -> None:
    workload = load("dvs-objects", quick=True)
    splits = data.load(workload, shared_data)
    assert (splits.classes, splits.sample_shape) == (5, (5, 2, 32, 32))
    assert len(splits.test[1]) == 919 and len(splits.val[1]) == 400
    assert torch.bincount(splits.val[1], minlength=5).min() > 50
    assert_disjoint(splits)


@pytest.mark.parametrize(("name", "shape"), [("fashion", (1, 14, 14)), ("cifar10-vgg", (3, 16, 16))])
def test_real_images(name: str, shape: tuple[int, ...], tmp_path: Path, shared_data: Path) -> None:
    import pyarrow.parquet as pq

    workload = load(name, quick=True)
    workload = replace(workload, data=replace(workload.data, train_limit=500, val_size=100, test_limit=200))
    for split, rows in (("train", 700), ("test", 300)):  # a part of it: decoding all takes half a minute
        table = pq.read_table(shared_data / workload.data.name / f"{split}.parquet")
        pq.write_table(table.slice(0, rows), tmp_path / f"{split}.parquet")
    splits = data.load(workload, tmp_path)
    assert splits.sample_shape == shape and splits.classes == 10
    assert len(splits.train[1]) == 500
    assert_disjoint(splits)
