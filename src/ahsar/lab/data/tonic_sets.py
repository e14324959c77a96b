"""Public event sets through `tonic`, which fetches and reads them; framed once, and kept as one byte a count.

`--data` is the folder that tonic calls `save_to`: it holds, or gets, one folder a set (`NMNIST`, `SHD`, ...). Its archives
need not stay beside what was unpacked from them.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ahsar.errors import DataError
from ahsar.lab.data import Splits, cache, stratified_order, take
from ahsar.lab.data.frames import as_bytes, make
from ahsar.lab.spec import workload

_VERSION = 1  # of the cached frames: raise it when framing changes


@dataclass(frozen=True)
class Source:
    """A set in tonic.

    Attributes:
        parts: its parts (arguments of the class) and how many recordings each has; "all" where no split is official.
        sensor: width and height; N-Caltech101's 240x180 lies in a square, so that pixels stay square when summed.
        files: what its recordings end in.
        span: microseconds that the frames of every recording cover; 0 for those between its own first and last event.
        fetch: tonic can download it.
        worded: labels are words; their order is that of the alphabet.
    """

    name: str
    parts: dict[str, int]
    sensor: tuple[int, int]
    files: str
    span: int = 0
    fetch: bool = True
    worded: bool = False


SOURCES = {
    "cifar10-dvs": Source("CIFAR10DVS", {"all": 10_000}, (128, 128), ".aedat4"),
    "dvs-gesture": Source("DVSGesture", {"train": 1077, "test": 264}, (128, 128), ".npy", fetch=False),
    "nmnist": Source("NMNIST", {"train": 60_000, "test": 10_000}, (34, 34), ".bin"),
    "ncaltech101": Source("NCALTECH101", {"all": 8709}, (240, 240), ".bin", worded=True),
    "shd": Source("SHD", {"train": 8156, "test": 2264}, (700, 1), ".h5", span=1_400_000),
}


def load(spec: workload.Data, source: Path | None) -> Splits:
    """Frames `[N, T, 2, size, size]`, SHD's `[N, T, 700]`, of log(1 + events), over their deviation in train."""
    about = SOURCES[spec.name]
    folder = cache.folder() / "tonic" if source is None else source
    if folder.name == about.name:  # the set's own folder was given
        folder = folder.parent
    where = str(folder / about.name)
    shape = _shape(spec, about, where)
    parts = {part: _part(spec, about, folder, part, shape) for part in about.parts}

    frames, labels = parts["train" if "train" in parts else "all"]
    order = stratified_order(labels, spec.split_seed)
    if "test" in parts:
        test_frames, test_labels = parts["test"]
        test_order, held_out = stratified_order(test_labels, spec.split_seed), 0
        test_rows = take(test_order, 0, spec.test_limit, "data.test_limit", where)
    else:
        test_frames, test_labels = frames, labels
        test_rows = take(order, 0, spec.test_limit or round(len(labels) / 10), "data.test_limit", where)
        held_out = len(test_rows)
    val_rows = take(order, held_out, spec.val_size, "data.val_size", where)
    train_rows = take(order, held_out + len(val_rows), spec.train_limit, "data.train_limit", where)
    train, val = ((frames[rows], labels[rows]) for rows in (train_rows, val_rows))
    return make(train, val, (test_frames[test_rows], test_labels[test_rows]), int(labels.max()) + 1, where)


def _shape(spec: workload.Data, about: Source, where: str) -> tuple[int, ...]:
    """Shape of one recording's frames."""
    if spec.time_steps < 1:
        raise DataError(f"{where}: data.time_steps = {spec.time_steps}: event data is cut into frames; set it to at least 1")
    width, height = about.sensor
    if height == 1:
        if spec.size:
            raise DataError(
                f"{where}: data.size = {spec.size}, but {spec.name} has {width} channels and no pixels; leave it out"
            )
        return spec.time_steps, width
    side = spec.size or width
    if width % side:
        raise DataError(f"{where}: data.size = {side} does not divide the sensor's {width} pixels; choose a divisor")
    return spec.time_steps, 2, side, side


def _part(spec: workload.Data, about: Source, folder: Path, part: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Frames (uint8) and labels of one part, recordings in the order of their paths."""
    recordings, root = _open(spec.name, about, folder, part)
    names = [str(Path(path).relative_to(root)) for path in recordings.data] or [recordings.data_filename]
    files = [[name, (status := (root / name).stat()).st_size, status.st_mtime_ns] for name in names]
    listing = hashlib.sha256(repr(sorted(files)).encode()).hexdigest()

    def build() -> cache.Arrays:
        order = np.argsort(np.asarray(names), kind="stable") if recordings.data else np.arange(len(recordings))
        frames = np.empty((len(order), *shape), dtype=np.uint8)
        targets = []
        for row, index in enumerate(order):
            name = str(root / names[index]) if recordings.data else f"{root / names[0]}: recording {index}"
            events, target = _read(recordings, int(index), name)
            frames[row] = as_bytes(count(_checked(events, about, name), about, shape))
            targets.append(target)
        labels = np.unique(targets, return_inverse=True)[1] if about.worded else np.asarray(targets)
        return {"frames": frames, "labels": labels.astype(np.uint8)}

    arrays = cache.cached(spec.name, [_VERSION, about.name, part, listing, shape], build)
    return arrays["frames"], arrays["labels"]


def _open(name: str, about: Source, folder: Path, part: str) -> tuple[Any, Path]:
    """tonic's reader of one part, and the folder where its files lie; downloads what is not there, if it can be."""
    import tonic.datasets

    original = getattr(tonic.datasets, about.name)
    root = folder / about.name

    def present(self: Any) -> bool:
        # tonic asks for the archive too, which nobody keeps; how many recordings there are is checked below.
        wanted = self.data_filename if about.files == ".h5" else f"*{about.files}"
        return next((root / self.folder_name).rglob(wanted), None) is not None

    def download(self: Any) -> None:
        what = f"{name}: no {about.files} recordings in {root / self.folder_name}"
        if not about.fetch:
            cure = f"get {self.filename} (tonic's cut recordings), unpack it into {root}, then give --data {folder}"
            raise DataError(f"{what}, and it cannot be downloaded automatically; {cure}")
        try:
            original.download(self)
        except Exception as error:  # no network, a moved address, a damaged archive: the cure is the same
            cure = f"get {self.filename} elsewhere and unpack it into {root}, then give --data {folder}"
            raise DataError(f"{what}, and tonic could not download it ({type(error).__name__}: {error}); {cure}") from error

    reader = type(about.name, (original,), {"_check_exists": present, "download": download})  # its folder is its name
    try:
        recordings = reader(str(folder), **({} if part == "all" else {"train": part == "train"}))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{root}: tonic cannot read it ({type(error).__name__}: {error}); fetch it again") from error
    if len(recordings) < about.parts[part]:
        counted = f"{root / recordings.folder_name}: {len(recordings)} of the {about.parts[part]} recordings of {name} ({part})"
        raise DataError(f"{counted}; unpack all of {recordings.filename} there")
    return recordings, root


def _read(recordings: Any, index: int, name: str) -> tuple[np.ndarray, Any]:
    try:
        return recordings[index]
    except ModuleNotFoundError as error:
        raise DataError(f"{name}: reading it needs the package {error.name!r}; it comes with ahsar[lab]") from error
    except Exception as error:  # every reader meets damaged bytes in its own way
        raise DataError(f"{name}: not a readable event file ({type(error).__name__}: {error}); fetch it again") from error


def _checked(events: np.ndarray, about: Source, name: str) -> np.ndarray:
    """Refuse what would be framed wrongly: no events, events outside the sensor, the polarities or the order of time."""
    if len(events) == 0:
        raise DataError(f"{name}: holds no events; fetch it again")
    width, height = about.sensor
    limits = {"x": width, "y": height, "p": 2} | ({"t": about.span} if about.span else {})
    for column, end in limits.items():
        if column in (events.dtype.names or ()):
            values = events[column].astype(np.int64)
            wrong = (values < 0) | (values >= end)
            if wrong.any():
                event = int(np.argmax(wrong))
                raise DataError(
                    f"{name}: event {event} has {column} = {values[event]}, out of range [0, {end - 1}]; fetch it again"
                )
    late = np.diff(events["t"].astype(np.int64)) < 0
    if late.any():
        raise DataError(f"{name}: event {int(np.argmax(late)) + 1} is earlier than the one before it; fetch it again")
    return events


def count(events: np.ndarray, about: Source, shape: tuple[int, ...]) -> np.ndarray:
    """Counts of a recording's events in `shape`: windows of equal length, every event in one of them."""
    from tonic.transforms import ToFrame

    steps, side = shape[0], shape[-1]
    # Signed: tonic's own kinds overflow when times are subtracted.
    events = events.astype([(column, np.int64) for column in events.dtype.names or ()])
    start = 0 if about.span else int(events["t"][0])
    window = -(-(about.span or int(events["t"][-1]) - start + 1) // steps)
    width, height = about.sensor
    size = (side, side, 2) if height > 1 else (width, 1, 1)
    for column in ("x", "y") if height > 1 else ():
        events[column] //= width // side
    frame = ToFrame(sensor_size=size, time_window=window, start_time=start, end_time=start + steps * window)
    return frame(events).reshape(shape)
