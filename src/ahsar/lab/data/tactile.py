"""Touches of 36 objects by an event-based tactile sensor (TactileSGNet's EvTouch-Objects, Gu et al., IROS 2020).

Its 39 taxels, which sit on a disc, become the pixels of a small picture, `[N, T, 2, 13, 13]`, so that the same networks
take touches and camera events. 13 is the smallest side on which rounding a taxel's place to a pixel, equal in x and y,
gives every taxel its own. The sensor's y runs along the columns: in y its taxels mirror each other exactly, so that a
flipped picture is one that the sensor could give. The 130 pixels without a taxel stay at zero.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ahsar.errors import DataError
from ahsar.lab.data import Splits, cache, npz, stratified_order, take
from ahsar.lab.data.frames import Windows, as_bytes, make
from ahsar.lab.spec import workload

FILE = "ev_objects.npz"
TAXELS, STEPS, SIDE = 39, 250, 13
_VERSION = 1  # of the cached frames: raise it when framing changes
_EVENTS, _SAMPLES = ("x", "p", "t"), ("labels", "is_test")


def load(spec: workload.Data, source: Path | None) -> Splits:
    """Frames `[N, T, 2, 13, 13]` of log(1 + events), over their deviation in train; test is the data's own split."""
    path = _find(spec, source)
    key = [_VERSION, cache.file_key(path), spec.time_steps]
    arrays = cache.cached("tactile", key, lambda: _frames(path, spec.time_steps))
    frames, labels, is_test = arrays["frames"], arrays["labels"], arrays["is_test"]

    others = np.flatnonzero(is_test == 0)
    others = others[stratified_order(labels[others], spec.split_seed)]
    val = take(others, 0, spec.val_size, "data.val_size", str(path))
    train = take(others, len(val), spec.train_limit, "data.train_limit", str(path))
    test = _test_rows(is_test, labels, spec, str(path))
    train, val, test = ((frames[rows], labels[rows]) for rows in (train, val, test))
    return make(train, val, test, int(labels.max()) + 1, str(path))


def windows_of_test(spec: workload.Data, source: Path | None) -> Windows:
    """The events behind the test split of `load`, touch by touch in its order, and how they become frames.

    x is the number of the taxel and y is 0; t is the middle of the event's step, so that it can move by parts of one.
    """
    path = _find(spec, source)
    table = _read(path)
    rows = _test_rows(table["is_test"], np.unique(table["labels"], return_inverse=True)[1], spec, str(path))
    where = pixels(table["taxel_xy"])

    def frame(events: np.ndarray) -> np.ndarray:
        return _count(_cells(events, where, spec.time_steps), spec.time_steps)

    return Windows([_events(table, int(row)) for row in rows], (TAXELS, 1, 2), STEPS, frame)


def pixels(places: np.ndarray) -> np.ndarray:
    """The pixel `[39]`, row times 13 plus column, of each taxel at `places` `[39, 2]` (x, y; any unit, centred on 0)."""
    middle = SIDE // 2
    row, column = (middle + np.rint(places / np.abs(places).max() * middle).astype(np.int64)).T
    return row * SIDE + column


def _find(spec: workload.Data, source: Path | None) -> Path:
    """The file, for a workload that fits it."""
    if source is None:
        raise DataError(f"ev-objects: has no public name to fetch it by; give --data PATH, the file {FILE} or its folder")
    path = npz.find(source, FILE)
    if spec.time_steps < 1 or STEPS % spec.time_steps:
        raise DataError(f"{path}: data.time_steps = {spec.time_steps} does not divide its {STEPS} steps; choose a divisor")
    if spec.size not in (0, SIDE):
        raise DataError(f"{path}: data.size = {spec.size}, but its taxels fill {SIDE}x{SIDE} pixels; leave it out")
    return path


def _test_rows(is_test: np.ndarray, labels: np.ndarray, spec: workload.Data, where: str) -> np.ndarray:
    rows = np.flatnonzero(is_test == 1)
    rows = rows[stratified_order(labels[rows], spec.split_seed)]
    return take(rows, 0, spec.test_limit, "data.test_limit", where)


def _read(path: Path) -> cache.Arrays:
    table = npz.read(path, (*_EVENTS, "offsets", *_SAMPLES, "taxel_xy"))
    places = table.pop("taxel_xy")
    npz.check_whole(table, path)
    npz.check(table, path, {"x": TAXELS, "p": 2, "t": STEPS}, _SAMPLES)
    if places.shape != (TAXELS, 2) or not np.isfinite(places).all() or len(set(pixels(places))) < TAXELS:
        raise DataError(f"{path}: array 'taxel_xy' does not place {TAXELS} taxels apart from each other; fetch it again")
    if not set(np.unique(table["is_test"])) == {0, 1}:
        raise DataError(f"{path}: array 'is_test' must mark samples for training (0) and for test (1); fetch it again")
    return {**table, "taxel_xy": places}


def _events(table: cache.Arrays, row: int) -> np.ndarray:
    """The events of one touch."""
    here = slice(*table["offsets"][row : row + 2])
    events = np.zeros(here.stop - here.start, dtype=[("x", np.int16), ("y", np.int16), ("t", float), ("p", np.int8)])
    events["x"], events["p"], events["t"] = table["x"][here], table["p"][here], table["t"][here] + 0.5
    return events


def _cells(events: Mapping[str, np.ndarray] | np.ndarray, where: np.ndarray, time_steps: int) -> np.ndarray:
    """Which cell of its frames, flattened, each event is counted in; `where` holds the pixel of each taxel."""
    step = events["t"].astype(np.int64) * time_steps // STEPS
    return (step * 2 + events["p"]) * SIDE * SIDE + where[events["x"]]


def _count(cells: np.ndarray, time_steps: int) -> np.ndarray:
    """Frames `[T, 2, 13, 13]` (uint8) of events in these cells."""
    shape = time_steps, 2, SIDE, SIDE
    return as_bytes(np.bincount(cells, minlength=math.prod(shape)).reshape(shape))


def _frames(path: Path, time_steps: int) -> cache.Arrays:
    """Frames `[N, T, 2, 13, 13]` (uint8) of all samples."""
    table = _read(path)
    cells = _cells(table, pixels(table["taxel_xy"]), time_steps)
    frames = np.empty((len(table["labels"]), time_steps, 2, SIDE, SIDE), dtype=np.uint8)
    for row in range(len(frames)):
        frames[row] = _count(cells[slice(*table["offsets"][row : row + 2])], time_steps)
    labels = np.unique(table["labels"], return_inverse=True)[1]
    return {"frames": frames, "labels": labels.astype(np.uint8), "is_test": table["is_test"].astype(np.uint8)}
