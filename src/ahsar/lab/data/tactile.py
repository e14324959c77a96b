"""Touches of 36 objects by an event-based tactile sensor (TactileSGNet's EvTouch-Objects, Gu et al., IROS 2020).

Its 39 taxels, which sit on a disc, become the pixels of a small picture, `[N, T, 2, 13, 13]`, so that the same networks
take touches and camera events. 13 is the smallest side on which rounding a taxel's place to a pixel, equal in x and y,
gives every taxel its own. The sensor's y runs along the columns: in y its taxels mirror each other exactly, so that a
flipped picture is one that the sensor could give. The 130 pixels without a taxel stay at zero.
"""

from pathlib import Path

import numpy as np

from ahsar.errors import DataError
from ahsar.lab.data import Splits, cache, npz, stratified_order, take
from ahsar.lab.data.frames import as_bytes, make
from ahsar.lab.spec import workload

FILE = "ev_objects.npz"
TAXELS, STEPS, SIDE = 39, 250, 13
_VERSION = 1  # of the cached frames: raise it when framing changes
_EVENTS, _SAMPLES = ("x", "p", "t"), ("labels", "is_test")


def load(spec: workload.Data, source: Path | None) -> Splits:
    """Frames `[N, T, 2, 13, 13]` of log(1 + events), over their deviation in train; test is the data's own split."""
    if source is None:
        raise DataError(f"ev-objects: has no public name to fetch it by; give --data PATH, the file {FILE} or its folder")
    path = npz.find(source, FILE)
    if spec.time_steps < 1 or STEPS % spec.time_steps:
        raise DataError(f"{path}: data.time_steps = {spec.time_steps} does not divide its {STEPS} steps; choose a divisor")
    if spec.size not in (0, SIDE):
        raise DataError(f"{path}: data.size = {spec.size}, but its taxels fill {SIDE}x{SIDE} pixels; leave it out")
    key = [_VERSION, cache.file_key(path), spec.time_steps]
    arrays = cache.cached("tactile", key, lambda: _frames(path, spec.time_steps))
    frames, labels, is_test = arrays["frames"], arrays["labels"], arrays["is_test"]

    others, test_rows = np.flatnonzero(is_test == 0), np.flatnonzero(is_test == 1)
    others = others[stratified_order(labels[others], spec.split_seed)]
    test_rows = test_rows[stratified_order(labels[test_rows], spec.split_seed)]
    val = take(others, 0, spec.val_size, "data.val_size", str(path))
    train = take(others, len(val), spec.train_limit, "data.train_limit", str(path))
    test = take(test_rows, 0, spec.test_limit, "data.test_limit", str(path))
    train, val, test = ((frames[rows], labels[rows]) for rows in (train, val, test))
    return make(train, val, test, int(labels.max()) + 1, str(path))


def pixels(places: np.ndarray) -> np.ndarray:
    """The pixel `[39]`, row times 13 plus column, of each taxel at `places` `[39, 2]` (x, y; any unit, centred on 0)."""
    middle = SIDE // 2
    row, column = (middle + np.rint(places / np.abs(places).max() * middle).astype(np.int64)).T
    return row * SIDE + column


def _frames(path: Path, time_steps: int) -> cache.Arrays:
    """Frames `[N, T, 2, 13, 13]` (uint8) of all samples."""
    table = npz.read(path, (*_EVENTS, "offsets", *_SAMPLES, "taxel_xy"))
    places = table.pop("taxel_xy")
    npz.check_whole(table, path)
    npz.check(table, path, {"x": TAXELS, "p": 2, "t": STEPS}, _SAMPLES)
    if places.shape != (TAXELS, 2) or not np.isfinite(places).all() or len(set(pixels(places))) < TAXELS:
        raise DataError(f"{path}: array 'taxel_xy' does not place {TAXELS} taxels apart from each other; fetch it again")
    if not set(np.unique(table["is_test"])) == {0, 1}:
        raise DataError(f"{path}: array 'is_test' must mark samples for training (0) and for test (1); fetch it again")
    step = table["t"].astype(np.int64) * time_steps // STEPS
    place = (step * 2 + table["p"]) * SIDE * SIDE + pixels(places)[table["x"]]
    frames = np.empty((len(table["labels"]), time_steps, 2, SIDE, SIDE), dtype=np.uint8)
    for row in range(len(frames)):
        here = place[slice(*table["offsets"][row : row + 2])]
        frames[row] = as_bytes(np.bincount(here, minlength=frames[row].size).reshape(frames.shape[1:]))
    labels = np.unique(table["labels"], return_inverse=True)[1]
    return {"frames": frames, "labels": labels.astype(np.uint8), "is_test": table["is_test"].astype(np.uint8)}
