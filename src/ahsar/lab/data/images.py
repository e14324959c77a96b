"""Fashion-MNIST and CIFAR-10 through HF `datasets`, from the hub or from local parquet files, decoded once."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ahsar.errors import DataError
from ahsar.lab import workload
from ahsar.lab.data import Pair, Splits, cache, make_splits, stratified_order, take

HUB = {"fashion_mnist": "zalando-datasets/fashion_mnist", "cifar10": "uoft-cs/cifar10"}
_IMAGE_COLUMNS, _LABEL_COLUMNS = ("image", "img"), ("label", "labels")
_VERSION = 1  # of the decoded arrays: raise it when decoding changes


def load(spec: workload.Data, source: Path | None) -> Splits:
    """Images averaged down to `size` pixels and normalised by the mean and deviation of each channel over train."""
    arrays, where = _from_hub(spec.name) if source is None else _from_files(source)
    x, y = arrays["train_x"], arrays["train_y"].astype(np.int64)
    test_x, test_y = arrays["test_x"], arrays["test_y"].astype(np.int64)
    classes = int(max(y.max(), test_y.max())) + 1
    order, test_order = stratified_order(y, spec.split_seed), stratified_order(test_y, spec.split_seed)
    val_rows = take(order, 0, spec.val_size, "data.val_size", where)
    train_rows = take(order, len(val_rows), spec.train_limit, "data.train_limit", where)
    test_rows = take(test_order, 0, spec.test_limit, "data.test_limit", where)

    def pair(pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Pair:
        images = torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2).contiguous().float().div_(255)
        return _shrink(images, spec.size, where), torch.from_numpy(labels[rows])

    train, val, test = pair(x, y, train_rows), pair(x, y, val_rows), pair(test_x, test_y, test_rows)
    deviation, mean = torch.std_mean(train[0], dim=(0, 2, 3), keepdim=True)
    deviation = deviation.clamp_min(1e-6)
    for images, _ in (train, val, test):
        images.sub_(mean).div_(deviation)
    return make_splits(train, val, test, classes, where, normalised=(mean, deviation))


def _shrink(images: torch.Tensor, size: int, where: str) -> torch.Tensor:
    height, width = images.shape[2:]
    if size in (0, height) and size in (0, width):
        return images
    if height % size or width % size or size > min(height, width):
        raise DataError(f"{where}: data.size = {size} does not divide the images' {height}x{width} pixels; choose a divisor")
    return torch.nn.functional.avg_pool2d(images, (height // size, width // size))


def _from_files(source: Path) -> tuple[cache.Arrays, str]:
    """Decoded arrays of a folder with `train*.parquet` and `test*.parquet` (or of one such file's folder)."""
    root = source if source.is_dir() else source.parent
    files = {}
    for split in ("train", "test"):
        found = sorted(root.glob(f"{split}*.parquet")) or sorted(root.glob(f"*/{split}*.parquet"))
        if not found:
            raise DataError(f"{root}: no {split}*.parquet in it; give --data a folder with train.parquet and test.parquet")
        files[split] = found
    key = [_VERSION, {split: [cache.file_key(path) for path in paths] for split, paths in files.items()}]

    def build() -> cache.Arrays:
        import datasets

        arrays = {}
        # `datasets` would keep an undecoded copy of its own beside ours, so its cache is thrown away.
        with _quiet(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            for split, paths in files.items():
                where = ", ".join(map(str, paths))
                try:
                    table = datasets.Dataset.from_parquet([str(path) for path in paths], cache_dir=scratch)
                except Exception as error:  # pyarrow and datasets raise many kinds for a damaged file
                    raise DataError(f"{where}: not a readable parquet file ({_brief(error)}); fetch it again") from error
                arrays.update(_decode(table, split, where))
                del table
        return _consistent(arrays, str(root))

    return cache.cached("images", key, build), str(root)


def _from_hub(name: str) -> tuple[cache.Arrays, str]:
    """Decoded arrays of a public data set, fetched once: from then on the cache answers, also without a network."""
    public = HUB[name]

    def build() -> cache.Arrays:
        import datasets

        arrays = {}
        with _quiet():
            try:
                tables = {split: datasets.load_dataset(public, split=split) for split in ("train", "test")}
            except Exception as error:  # no network, no such data set, a changed hub: the cure is the same
                raise DataError(
                    f"{name}: not in {cache.folder()}, and the hub's {public} cannot be had ({_brief(error)}); "
                    "give --data PATH, a folder with train.parquet and test.parquet"
                ) from error
            for split, table in tables.items():
                arrays.update(_decode(table, split, public))
        return _consistent(arrays, public)

    return cache.cached("images", [_VERSION, "hub", public], build), f"hub {public}"


def _decode(table: Any, split: str, where: str) -> cache.Arrays:
    """Pixels `[N, H, W, C]` and labels `[N]`, both uint8, of one split."""
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
        raise DataError(f"{where}: columns {image!r}, {label!r} do not hold images and labels ({_brief(error)})") from error
    pixels: np.ndarray | None = None
    mode = ""
    for row in range(len(table)):
        try:
            picture = table[row][image]
            mode = mode or ("L" if picture.mode in ("1", "L") else "RGB")
            values = np.asarray(picture.convert(mode), dtype=np.uint8)
        except Exception as error:  # whatever a decoder makes of damaged bytes
            raise DataError(f"{where}: row {row} of {split} holds no readable image ({_brief(error)})") from error
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


def _consistent(arrays: cache.Arrays, where: str) -> cache.Arrays:
    train, test = arrays["train_x"].shape[1:], arrays["test_x"].shape[1:]
    if train != test:
        raise DataError(f"{where}: train images are {train} and test images {test} (H, W, C); they must be equal")
    return arrays


def _brief(error: BaseException) -> str:
    """The first line of an error and of its cause, which is where `datasets` keeps the useful part."""
    told = [one for one in (error, error.__cause__) if one and str(one).strip()]
    lines = [f"{type(one).__name__}: {str(one).strip().splitlines()[0]}" for one in told]
    return "; ".join(lines) or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
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
