"""Image sets through HF `datasets`, from the hub or from local parquet files, decoded once."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ahsar.errors import DataError
from ahsar.lab.data import Pair, Splits, cache, make_splits, stratified_order, take
from ahsar.lab.data.decoding import brief, decode, quiet
from ahsar.lab.spec import workload

_VERSION = 1  # of the decoded arrays: raise it when decoding changes
_CHUNK = 4096  # images that are float32 at their full size at a time


class Source(NamedTuple):
    """A set's name on the hub, the mode of its pictures, and the split that serves as test."""

    hub: str
    mode: str = "RGB"
    test: str = "test"


SOURCES = {
    "mnist": Source("ylecun/mnist", "L"),
    "fashion_mnist": Source("zalando-datasets/fashion_mnist", "L"),
    "cifar10": Source("uoft-cs/cifar10"),
    "cifar100": Source("uoft-cs/cifar100"),
    "tiny-imagenet": Source("zh-plus/tiny-imagenet", test="valid"),  # the labels of its own test split are not public
}


def load(spec: workload.Data, source: Path | None) -> Splits:
    """Images averaged down to `size` pixels and normalised by the mean and deviation of each channel over train."""
    about = SOURCES[spec.name]
    arrays, where = _from_hub(spec.name, about) if source is None else _from_files(source, about)
    x, y = arrays["train_x"], arrays["train_y"].astype(np.int64)
    test_x, test_y = arrays["test_x"], arrays["test_y"].astype(np.int64)
    classes = int(max(y.max(), test_y.max())) + 1
    order, test_order = stratified_order(y, spec.split_seed), stratified_order(test_y, spec.split_seed)
    val_rows = take(order, 0, spec.val_size, "data.val_size", where)
    train_rows = take(order, len(val_rows), spec.train_limit, "data.train_limit", where)
    test_rows = take(test_order, 0, spec.test_limit, "data.test_limit", where)

    def pair(pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Pair:
        chunks = (pixels[rows[i : i + _CHUNK]] for i in range(0, len(rows), _CHUNK))
        images = (torch.from_numpy(chunk).permute(0, 3, 1, 2).contiguous().float().div_(255) for chunk in chunks)
        return torch.cat([_shrink(chunk, spec.size, where) for chunk in images]), torch.from_numpy(labels[rows])

    train, val, test = pair(x, y, train_rows), pair(x, y, val_rows), pair(test_x, test_y, test_rows)
    deviation, mean = torch.std_mean(train[0], dim=(0, 2, 3), keepdim=True)
    deviation = deviation.clamp_min(1e-6)
    for images, _ in (train, val, test):
        images.sub_(mean).div_(deviation)
    return make_splits(train, val, test, classes, where, (mean[0], deviation[0]))


def _shrink(images: torch.Tensor, size: int, where: str) -> torch.Tensor:
    height, width = images.shape[2:]
    if size in (0, height) and size in (0, width):
        return images
    if height % size or width % size or size > min(height, width):
        raise DataError(f"{where}: data.size = {size} does not divide the images' {height}x{width} pixels; choose a divisor")
    return torch.nn.functional.avg_pool2d(images, (height // size, width // size))


def _from_files(source: Path, about: Source) -> tuple[cache.Arrays, str]:
    """Decoded arrays of a folder with `train*.parquet` and `test*.parquet` (or of one such file's folder)."""
    root = source if source.is_dir() else source.parent
    files = {}
    for split, name in (("train", "train"), ("test", about.test)):
        paths = sorted(root.glob(f"{name}*.parquet")) or sorted(root.glob(f"*/{name}*.parquet"))
        if not paths:
            cure = f"give --data a folder with train.parquet and {about.test}.parquet"
            raise DataError(f"{root}: no {name}*.parquet in it; {cure}")
        files[split] = paths
    key = [_VERSION, about.mode, {split: [cache.file_key(path) for path in paths] for split, paths in files.items()}]

    def build() -> cache.Arrays:
        import datasets

        arrays = {}
        # `datasets` would keep an undecoded copy of its own beside ours, so its cache is thrown away.
        with quiet(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            for split, paths in files.items():
                where = ", ".join(map(str, paths))
                try:
                    table = datasets.Dataset.from_parquet([str(path) for path in paths], cache_dir=scratch)
                except Exception as error:  # pyarrow and datasets raise many kinds for a damaged file
                    raise DataError(f"{where}: not a readable parquet file ({brief(error)}); fetch it again") from error
                arrays.update(decode(table, split, where, about.mode))
                del table
        return _consistent(arrays, str(root))

    return cache.cached("images", key, build), str(root)


def _from_hub(name: str, about: Source) -> tuple[cache.Arrays, str]:
    """Decoded arrays of a public data set, fetched once: from then on the cache answers, also without a network."""

    def build() -> cache.Arrays:
        import datasets

        arrays = {}
        with quiet():
            try:
                wanted = {"train": "train", "test": about.test}
                tables = {split: datasets.load_dataset(about.hub, split=name) for split, name in wanted.items()}
            except Exception as error:  # no network, no such data set, a changed hub: the cure is the same
                raise DataError(
                    f"{name}: not in {cache.folder()}, and the hub's {about.hub} cannot be had ({brief(error)}); "
                    f"give --data PATH, a folder with train.parquet and {about.test}.parquet"
                ) from error
            for split, table in tables.items():
                arrays.update(decode(table, split, about.hub, about.mode))
        return _consistent(arrays, about.hub)

    return cache.cached("images", [_VERSION, "hub", about.hub], build), f"hub {about.hub}"


def _consistent(arrays: cache.Arrays, where: str) -> cache.Arrays:
    train, test = arrays["train_x"].shape[1:], arrays["test_x"].shape[1:]
    if train != test:
        raise DataError(f"{where}: train images are {train} and test images {test} (H, W, C); they must be equal")
    return arrays
