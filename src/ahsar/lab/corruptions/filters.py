"""What the image corruptions are made of: kernels, resampling and fractal noise, over whole batches [N, C, H, W]."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

Floats = NDArray[np.floating]


def gaussian(x: Floats, sigma: float) -> Floats:
    """Gaussian blur of rows and columns, `sigma` in pixels; border pixels are repeated."""
    return ndimage.gaussian_filter(x, (0, 0, sigma, sigma), mode="nearest")


def defocus(x: Floats, radius: float, alias: float) -> Floats:
    """Blur by a disk of `radius` pixels whose edge is softened by a 3x3 Gaussian of deviation `alias`; border mirrored."""
    reach = int(np.ceil(radius)) + 1
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (rows**2 + columns**2 <= radius**2).astype(float)
    taps = np.exp(-0.5 * (np.array([-1, 0, 1]) / alias) ** 2)
    for axis in (0, 1):
        disk = ndimage.convolve1d(disk, taps, axis=axis, mode="constant")
    return ndimage.convolve(x, (disk / disk.sum())[None, None], mode="mirror")


def motion(x: Floats, radius: float, sigma: float, angle: Floats) -> Floats:
    """Blur along a line: a one-sided Gaussian over 2 radius + 1 pixels at `angle` [N] in radians; border pixels repeated."""
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    weights /= weights.sum()
    n, _, height, width = x.shape
    image = np.arange(n)[:, None, None]
    out = np.zeros_like(x).transpose(0, 2, 3, 1)
    for step, weight in zip(steps, weights, strict=True):
        down, right = (np.rint(step * part).astype(int) for part in (np.sin(angle), np.cos(angle)))
        rows = np.clip(np.arange(height)[None, :, None] + down[:, None, None], 0, height - 1)
        columns = np.clip(np.arange(width)[None, None, :] + right[:, None, None], 0, width - 1)
        out += weight * x[image, :, rows, columns]
    return out.transpose(0, 3, 1, 2)


def zoom(x: Floats, factor: float) -> Floats:
    """The middle of the image, `factor` times as large, at the old size: linear, corners on corners."""
    height, width = x.shape[2:]
    cut = [int(np.ceil(side / factor)) for side in (height, width)]
    top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
    middle = torch.from_numpy(np.ascontiguousarray(x[:, :, top : top + cut[0], left : left + cut[1]]))
    size = [round(side * factor) for side in cut]
    large = functional.interpolate(middle, size, mode="bilinear", align_corners=True).numpy()
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return large[:, :, top : top + height, left : left + width]


def resample(x: Floats, rows: Floats, columns: Floats, mirror_at_centre: bool) -> Floats:
    """Linear interpolation at fractional `rows` and `columns` [N, H, W]; beyond the border the image is mirrored.

    Args:
        mirror_at_centre: whether the outermost pixels' centres are the mirror, or their outer edges.
    """
    height, width = x.shape[2:]
    if mirror_at_centre:
        grid = np.stack([2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1], axis=-1)
    else:
        grid = np.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], axis=-1)
    where = torch.from_numpy(grid.astype(x.dtype))
    options = {"mode": "bilinear", "padding_mode": "reflection", "align_corners": mirror_at_centre}
    return functional.grid_sample(torch.from_numpy(np.ascontiguousarray(x)), where, **options).numpy()


def plasma(rng: np.random.Generator, n: int, side: int, decay: float) -> Floats:
    """Fractal noise in [0, 1], [N, 1, side, side], by the diamond-square algorithm on a torus.

    Args:
        decay: with each halving of the grid the noise falls to 1 / decay²: a large one gives smooth clouds.
    """
    size = 1 << max(1, (side - 1).bit_length())
    grid, step, height = np.zeros((n, size, size)), size, 1.0

    def noise(like: Floats) -> Floats:
        return height * rng.uniform(-1, 1, like.shape)

    while step > 1:
        half = step // 2
        corners = grid[:, ::step, ::step]
        right = corners + np.roll(corners, -1, axis=2)
        down = corners + np.roll(corners, -1, axis=1)
        centres = (right + np.roll(right, -1, axis=1)) / 4 + noise(corners)
        grid[:, half::step, half::step] = centres
        grid[:, ::step, half::step] = (right + centres + np.roll(centres, 1, axis=1)) / 4 + noise(corners)
        grid[:, half::step, ::step] = (down + centres + np.roll(centres, 1, axis=2)) / 4 + noise(corners)
        step, height = half, height / decay**2
    grid -= grid.min(axis=(1, 2), keepdims=True)
    grid /= grid.max(axis=(1, 2), keepdims=True)
    return grid[:, None, :side, :side]
