"""Event files in npz: columns of events, and `offsets` that cut them into samples. Read whole and checked whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ahsar.errors import DataError
from ahsar.lab.data.cache import Arrays


def find(source: Path, name: str) -> Path:
    """The file itself, or the one of this name in the folder.

    Raises:
        DataError: it is not there.
    """
    path = source / name if source.is_dir() else source
    if not path.is_file():
        raise DataError(f"{path}: no such file; give --data PATH, the file {name} or its folder")
    return path


def read(path: Path, names: Sequence[str]) -> Arrays:
    """These arrays of the file.

    Raises:
        DataError: one is missing, or the file is damaged.
    """
    try:
        with path.open("rb") as handle, np.load(handle) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise DataError(f"{path}: no array {missing[0]!r}; it has {', '.join(file.files)}")
            return {name: file[name] for name in names}
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in the zip, the deflate or the header, each in its own way
        raise DataError(f"{path}: not a readable npz file ({type(error).__name__}: {error}); fetch it again") from error


def check(table: Arrays, path: Path, limits: Mapping[str, int], samples: Sequence[str]) -> None:
    """Refuse what would be framed wrongly.

    Args:
        limits: of each column of events the first value that is out of range; "t" must not decrease within a sample.
        samples: arrays with one entry a sample.

    Raises:
        DataError: naming the file, and the array, sample or event.
    """
    offsets = table["offsets"].astype(np.int64)
    first, *others = limits
    events = len(table[first])
    for name in others:
        if len(table[name]) != events:
            raise DataError(f"{path}: array {name!r} has {len(table[name])} events, {first!r} has {events}; they must be equal")
    for name in samples:
        if len(table[name]) != len(offsets) - 1:
            windows = f"{len(table[name])} windows, 'offsets' {len(offsets) - 1}"
            raise DataError(f"{path}: array {name!r} has {windows}; they must be equal")
    steps = np.diff(offsets)
    if (steps < 0).any():
        raise DataError(f"{path}: offsets decrease at window {int(np.argmax(steps < 0))}; fetch it again")
    if offsets[0] != 0 or offsets[-1] != events:
        ends = f"{offsets[0]} to {offsets[-1]}"
        raise DataError(f"{path}: offsets run from {ends}, but there are {events} events; fetch it again")
    for name, end in limits.items():
        wrong = (table[name] < 0) | (table[name] >= end)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(f"{path}: event {row} has {name} = {table[name][row]}, out of range [0, {end - 1}]; fetch it again")
    late = np.diff(table["t"].astype(np.int64)) < 0
    late[offsets[1:-1][(offsets[1:-1] > 0) & (offsets[1:-1] < events)] - 1] = False  # a new window starts its clock anew
    if late.any():
        raise DataError(f"{path}: event {int(np.argmax(late)) + 1} is earlier than the one before it; sort each window by t")


def check_whole(table: Arrays, path: Path, numbers: Sequence[str] = ()) -> None:
    """Refuse arrays that are not whole numbers in a row; `numbers` are single ones."""
    for name, values in table.items():
        if values.dtype.kind not in "iu" or values.ndim != (name not in numbers):
            kind = f"{values.dtype} of shape {values.shape}"
            raise DataError(f"{path}: array {name!r} is {kind}, not whole numbers in a row")
