"""Files that appear whole or not at all, and files of `torch.save`."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ahsar.errors import AhsarError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the place of `path` when the block ends well, and leaves no trace if not.

    It is written beside `path`, whose folder is made if it is missing. Raises OSError as `open` does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            yield file
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str) -> Path:
    """Write a file whole or not at all, text as UTF-8; returns its path. Raises OSError as `replacing` does."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def load_saved(path: Path, expected: str, error: type[AhsarError]) -> Any:
    """What `torch.save` wrote, on the CPU. Nothing that a file says is run: it may hold tensors and plain values alone.

    Args:
        expected: what the file should be, in words.
        error: what is raised, in one line that says so, where it is something else or not there.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as why:  # torch raises what it likes, from KeyError to UnpicklingError
        found = why.strerror if isinstance(why, OSError) else None
        found = found or "not a file of tensors and plain values that torch.save wrote"
        raise error(f"{path}: {found}; expected {expected}") from why
