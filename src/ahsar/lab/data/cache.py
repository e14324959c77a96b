"""Decoded arrays on disk: built once, replaced atomically, checked on every read (a zip keeps a CRC of each array)."""

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ahsar.files import replacing

Arrays = dict[str, np.ndarray]
_HEAD = 1 << 16  # bytes of a source file that its key reads


def folder() -> Path:
    """Where decoded data is kept: `$AHSAR_CACHE`, or the user's cache folder of the platform."""
    chosen = os.environ.get("AHSAR_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("ahsar", appauthor=False))


def file_key(path: Path) -> list[Any]:
    """What identifies a source file without reading all of it: name, size, time of change, hash of its head."""
    status = path.stat()
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD)).hexdigest()
    return [path.name, status.st_size, status.st_mtime_ns, head]


def cached(kind: str, key: Any, build: Callable[[], Arrays]) -> Arrays:
    """The arrays that `build()` makes, from the cache if an intact copy is there for this `kind` and JSON `key`."""
    name = hashlib.sha256(json.dumps([kind, key]).encode()).hexdigest()[:24]
    path = folder() / f"{kind}-{name}.npz"
    arrays = _read(path)
    if arrays is None:
        arrays = build()
        _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    """All arrays of an intact file; None where there is none, so that it is built anew."""
    try:
        with path.open("rb") as handle, np.load(handle) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, arrays: Arrays) -> None:
    """Write beside and rename, so that a reader or a second writer never meets half a file."""
    try:
        with replacing(path) as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    except OSError as error:
        warnings.warn(f"{path.parent}: cannot cache decoded data ({error}); set AHSAR_CACHE to a writable folder", stacklevel=2)
