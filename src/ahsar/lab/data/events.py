"""Event-camera windows of the BioLab DVS128 objects, cut into frames by `tonic`, split by recording session."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ahsar.errors import DataError
from ahsar.lab.data import Splits, cache, npz, stratified_order, take
from ahsar.lab.data.frames import Windows, as_bytes, make
from ahsar.lab.spec import workload

FILE = "biolab_dvs128.npz"
SENSOR = 128  # pixels of a side
_TRAIN, _TEST = 0, 1  # in `split_session`; 255 marks windows that neither uses
_VERSION = 1  # of the cached frames: raise it when framing changes
_COLUMNS = ("x", "y", "p", "t", "offsets", "labels", "rec_id", "split_session", "window_us")


def load(spec: workload.Data, source: Path | None) -> Splits:
    """Frames `[N, T, 2, size, size]` of log(1 + events), over their deviation in train; test is another day's session."""
    path = _find(source)
    side = spec.size or SENSOR
    key = [_VERSION, cache.file_key(path), spec.time_steps, side]
    arrays = cache.cached("events", key, lambda: _frames(path, spec.time_steps, side))
    frames, classes = arrays["frames"], int(arrays["labels"].max()) + 1
    labels = arrays["labels"].astype(np.int64)

    train_rows, val_rows = hold_out_blocks(arrays["rec_id"], arrays["split"] == _TRAIN, spec, str(path))
    train_rows = train_rows[stratified_order(labels[train_rows], spec.split_seed)]
    train_rows = take(train_rows, 0, spec.train_limit, "data.train_limit", str(path))
    test_rows = _test_rows(arrays["split"], labels, spec, str(path))

    train, val, test = ((frames[rows], labels[rows]) for rows in (train_rows, val_rows, test_rows))
    return make(train, val, test, classes, str(path))


def windows_of_test(spec: workload.Data, source: Path | None) -> Windows:
    """The events behind the test split of `load`, window by window in its order, and how they become frames."""
    path = _find(source)
    table = _read(path)
    rows = np.flatnonzero(np.isin(table["split_session"], (_TRAIN, _TEST)))
    rows = rows[_test_rows(table["split_session"][rows], table["labels"][rows].astype(np.int64), spec, str(path))]
    framer = _framer(path, table, spec.time_steps, spec.size or SENSOR)
    window = int(table["window_us"])
    return Windows([_events(table, int(row)) for row in rows], (SENSOR, SENSOR, 2), window, framer)


def _test_rows(split: np.ndarray, labels: np.ndarray, spec: workload.Data, where: str) -> np.ndarray:
    rows = np.flatnonzero(split == _TEST)
    rows = rows[stratified_order(labels[rows], spec.split_seed)]
    return take(rows, 0, spec.test_limit, "data.test_limit", where)


def hold_out_blocks(
    recordings: np.ndarray, usable: np.ndarray, spec: workload.Data, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of train and of validation: one unbroken stretch of every recording, `window_gap` rows dropped around it.

    Neighbouring windows show the same object in nearly the same place, so windows held out at random would be near
    copies of training windows and validation would only test memory. Whole recordings cannot be held out either: four
    of the five objects have a single one in the training session, and validation has to see every class.
    """
    rng = np.random.default_rng(spec.split_seed)
    names, sizes = np.unique(recordings[usable], return_counts=True)
    # Shares in proportion to each recording's length, rounded so that they add up to val_size exactly.
    shares = np.diff(np.round(np.cumsum(sizes) / sizes.sum() * spec.val_size), prepend=0).astype(int)
    train, val = [], []
    for name, size, share in zip(names, sizes, shares, strict=True):
        if share < 1 or share + 2 * spec.window_gap >= size:
            taken = f"takes {share} of recording {name}'s {size} windows"
            raise DataError(f"{where}: data.val_size = {spec.val_size} {taken}; change it")
        rows = np.flatnonzero(usable & (recordings == name))
        start = int(rng.integers(0, size - share + 1))
        val.append(rows[start : start + share])
        train += [rows[: max(start - spec.window_gap, 0)], rows[start + share + spec.window_gap :]]
    return np.concatenate(train), np.concatenate(val)


def _find(source: Path | None) -> Path:
    if source is None:
        raise DataError(f"dvs-objects: has no public name to fetch it by; give --data PATH, the file {FILE} or its folder")
    return npz.find(source, FILE)


def _frames(path: Path, time_steps: int, side: int) -> cache.Arrays:
    """Frames `[N, T, 2, side, side]` (uint8) of all windows of the train and test sessions, labels 0 ... K - 1."""
    table = _read(path)
    framer = _framer(path, table, time_steps, side)
    rows = np.flatnonzero(np.isin(table["split_session"], (_TRAIN, _TEST)))
    frames = np.empty((len(rows), time_steps, 2, side, side), dtype=np.uint8)
    for i, row in enumerate(rows):
        frames[i] = framer(_events(table, int(row)))
    known = np.unique(table["labels"][rows])
    return {
        "frames": frames,
        "labels": np.searchsorted(known, table["labels"][rows]).astype(np.uint8),
        "rec_id": table["rec_id"][rows],
        "split": table["split_session"][rows],
    }


def _framer(path: Path, table: cache.Arrays, time_steps: int, side: int) -> Callable[[np.ndarray], np.ndarray]:
    """What counts the events of one window in frames `[T, 2, side, side]` (uint8)."""
    from tonic.transforms import Downsample, ToFrame

    window_us = int(table["window_us"])
    if time_steps < 1 or window_us % time_steps:
        windows = f"its windows of {window_us} us"
        raise DataError(f"{path}: data.time_steps = {time_steps} does not divide {windows}; choose a divisor")
    if SENSOR % side:
        raise DataError(f"{path}: data.size = {side} does not divide the sensor's {SENSOR} pixels; choose a divisor")
    shrink = Downsample(sensor_size=(SENSOR, SENSOR, 2), target_size=(side, side))
    to_frame = ToFrame(sensor_size=(side, side, 2), time_window=window_us // time_steps, start_time=0, end_time=window_us)

    def frame(events: np.ndarray) -> np.ndarray:
        # An empty window is quiet, not broken; tonic frames it only when it can slice by time.
        counts = to_frame(shrink(events)) if len(events) else np.zeros((time_steps, 2, side, side))
        return as_bytes(np.asarray(counts))

    return frame


def _events(table: cache.Arrays, row: int) -> np.ndarray:
    start, stop = table["offsets"][row : row + 2]
    events = np.empty(stop - start, dtype=[("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])
    for column in ("x", "y", "t", "p"):
        events[column] = table[column][start:stop]
    return events


def _read(path: Path) -> cache.Arrays:
    table = npz.read(path, _COLUMNS)
    npz.check_whole(table, path, numbers=("window_us",))
    limits = {"x": SENSOR, "y": SENSOR, "p": 2, "t": int(table["window_us"])}
    npz.check(table, path, limits, ("labels", "rec_id", "split_session"))
    for code, use in ((_TRAIN, "training"), (_TEST, "test")):
        if not (table["split_session"] == code).any():
            raise DataError(f"{path}: split_session marks no window for {use} ({code}); fetch it again")
    return table
