"""scikit-learn's embedded digits: 1,797 grey images of 8x8 pixels, values 0 to 16. It needs no download."""

from pathlib import Path

import numpy as np
import torch

from ahsar.lab.data import Pair, Splits, make_splits, stratified_order, take
from ahsar.lab.spec import workload


def load(spec: workload.Data, source: Path | None) -> Splits:
    """Digits in [0, 1]. They have no test split of their own, so test is held out by `split_seed` as validation is."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = np.asarray(images), np.asarray(labels)
    pixels = images.reshape(-1, 1, 8, 8).astype(np.float32) / 16
    order = stratified_order(labels, spec.split_seed)
    name = "scikit-learn digits"
    test = take(order, 0, spec.test_limit or 400, "data.test_limit", name)
    val = take(order, len(test), spec.val_size, "data.val_size", name)
    train = take(order, len(test) + len(val), spec.train_limit, "data.train_limit", name)

    def pair(rows: np.ndarray) -> Pair:
        return torch.from_numpy(pixels[rows]), torch.from_numpy(labels[rows].astype(np.int64))

    return make_splits(pair(train), pair(val), pair(test), 10, name, normalised=(torch.zeros(()), torch.ones(())))
