"""Images and labels out of tables of HF `datasets`, as arrays of bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ahsar.errors import DataError
from ahsar.lab.data.cache import Arrays

_IMAGE_COLUMNS, _LABEL_COLUMNS = ("image", "img"), ("label", "labels", "fine_label")


def decode(table: Any, split: str, where: str, mode: str) -> Arrays:
    """Pixels `[N, H, W, C]` and labels `[N]`, both uint8, of one split.

    Args:
        mode: "L" or "RGB", to which every picture is converted: sets of colour images may hold grey ones.

    Raises:
        DataError: naming the file and the row or column.
    """
    import datasets

    image, label = (_column(table, names, where) for names in (_IMAGE_COLUMNS, _LABEL_COLUMNS))
    if len(table) == 0:
        raise DataError(f"{where}: holds no rows; fetch it again")
    try:
        labels = np.asarray(table[label][:])
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 255:
            raise DataError(f"{where}: column {label!r} must hold whole numbers from 0 to 255")
        table = table.cast_column(image, datasets.Image())
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: columns {image!r}, {label!r} do not hold images and labels ({brief(error)})") from error
    pixels: np.ndarray | None = None
    for row in range(len(table)):
        try:
            picture = table[row][image]
            values = np.asarray(picture.convert(mode), dtype=np.uint8)
        except Exception as error:  # whatever a decoder makes of damaged bytes
            raise DataError(f"{where}: row {row} of {split} holds no readable image ({brief(error)})") from error
        values = values.reshape(*values.shape[:2], -1)
        if pixels is None:
            pixels = np.empty((len(table), *values.shape), dtype=np.uint8)
        elif values.shape != pixels.shape[1:]:
            shapes = f"is {values.shape}, row 0 {pixels.shape[1:]} (H, W, C)"
            raise DataError(f"{where}: row {row} of {split} {shapes}; make all equal")
        pixels[row] = values
    assert pixels is not None
    return {f"{split}_x": pixels, f"{split}_y": labels.astype(np.uint8)}


def _column(table: Any, names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in table.column_names:
            return name
    raise DataError(f"{where}: no column {' or '.join(map(repr, names))}; it has {', '.join(table.column_names)}")


def brief(error: BaseException) -> str:
    """The first line of an error and of its cause, which is where `datasets` keeps the useful part."""
    told = [one for one in (error, error.__cause__) if one and str(one).strip()]
    lines = [f"{type(one).__name__}: {str(one).strip().splitlines()[0]}" for one in told]
    return "; ".join(lines) or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and log lines of `datasets` and the hub, which would garble the program's own display."""
    import datasets
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    bars, hub_bars = datasets.is_progress_bar_enabled(), not are_progress_bars_disabled()
    level, hub_level = datasets.logging.get_verbosity(), hub_logging.get_verbosity()
    datasets.disable_progress_bars()
    disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    hub_logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bars:
            datasets.enable_progress_bars()
        if hub_bars:
            enable_progress_bars()
