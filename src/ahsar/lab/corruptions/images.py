"""The fifteen corruptions of CIFAR-10-C (Hendrycks & Dietterich, 2019), with its constants, on images in [0, 1].

Lengths are in pixels and were chosen for sides of 32: on a smaller side the same blur covers more of the picture. Frost is
procedural, where the original lays photographs over the image; nothing is rounded to 8 bits but for JPEG.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from ahsar.lab.corruptions.filters import Floats, defocus, gaussian, motion, plasma, resample, zoom

Rng = np.random.Generator
# the constants of severities 1 to 5
SEVERITIES: dict[str, tuple[Any, Any, Any, Any, Any]] = {
    "gaussian-noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # deviation
    "shot-noise": (500, 250, 100, 75, 50),  # photons of white
    "impulse-noise": (0.01, 0.02, 0.03, 0.05, 0.07),  # share of values set to 0 or 1
    "defocus-blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),  # radius, softness
    "glass-blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),  # sigma, reach, rounds
    "motion-blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),  # radius, sigma
    "zoom-blur": (1.06, 1.11, 1.16, 1.21, 1.26),  # from 1 in steps of 0.01
    # mean, deviation, zoom and threshold of the flakes, radius and sigma of their motion, share of the image kept
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),  # weight of the image, of the ice
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),  # weight, smoothness
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),  # added to the value of HSV
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor on the distance from the mean
    # in sides: amplitude and smoothness of the distortion, reach of the affine one
    "elastic": ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),  # share of the side
    "jpeg": (80, 65, 58, 50, 40),  # quality
}


def _gaussian_noise(x: Floats, rng: Rng, deviation: float) -> Floats:
    return x + rng.normal(0, deviation, x.shape)


def _shot_noise(x: Floats, rng: Rng, photons: float) -> Floats:
    return rng.poisson(x * photons) / photons


def _impulse_noise(x: Floats, rng: Rng, amount: float) -> Floats:
    struck = rng.random(x.shape) < amount
    return np.where(struck, rng.random(x.shape) < 0.5, x)


def _defocus_blur(x: Floats, rng: Rng, constants: tuple[float, float]) -> Floats:
    return defocus(x, *constants)


def _glass_blur(x: Floats, rng: Rng, constants: tuple[float, int, int]) -> Floats:
    """Every pixel takes the value of itself or an upper left neighbour, between two blurs.

    As in the published data, where each exchange of two pixels wrote one of them only.
    """
    sigma, reach, rounds = constants
    x = gaussian(x, sigma)
    n, _, height, width = x.shape
    image, inner = np.arange(n)[:, None, None], (slice(None), slice(None), slice(reach + 1, None), slice(reach + 1, None))
    rows, columns = np.arange(reach + 1, height)[:, None], np.arange(reach + 1, width)
    for _ in range(rounds):
        down, right = rng.integers(-reach, reach, (2, n, len(rows), len(columns)))
        x[inner] = x[image, :, rows + down, columns + right].transpose(0, 3, 1, 2)
    return gaussian(x, sigma)


def _motion_blur(x: Floats, rng: Rng, constants: tuple[float, float]) -> Floats:
    return motion(x, *constants, np.radians(rng.uniform(-45, 45, len(x))))


def _zoom_blur(x: Floats, rng: Rng, end: float) -> Floats:
    factors = np.arange(1, end, 0.01)
    return (x + sum(zoom(x, factor) for factor in factors)) / (len(factors) + 1)


def _snow(x: Floats, rng: Rng, constants: tuple[float, ...]) -> Floats:
    mean, deviation, size, threshold, radius, sigma, kept = constants
    flakes = zoom(rng.normal(mean, deviation, (len(x), 1, *x.shape[2:])), size)
    flakes = np.where(flakes < threshold, 0.0, flakes.clip(0, 1))
    flakes = motion(flakes, radius, sigma, np.radians(rng.uniform(-135, -45, len(x))))
    grey = x if x.shape[1] == 1 else (x * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdims=True)
    whitened = kept * x + (1 - kept) * np.maximum(x, 1.5 * grey + 0.5)
    return whitened + flakes + flakes[:, :, ::-1, ::-1]


def _frost(x: Floats, rng: Rng, constants: tuple[float, float]) -> Floats:
    """Bright ridges, where fractal noise crosses its middle, in place of photographs of ice."""
    image, ice = constants
    ridges = 1 - np.abs(2 * plasma(rng, len(x), max(x.shape[2:]), 1.4) - 1)
    return image * x + ice * ridges[:, :, : x.shape[2], : x.shape[3]]


def _fog(x: Floats, rng: Rng, constants: tuple[float, float]) -> Floats:
    weight, decay = constants
    top = x.max(axis=(1, 2, 3), keepdims=True)
    clouds = plasma(rng, len(x), max(x.shape[2:]), decay)[:, :, : x.shape[2], : x.shape[3]]
    return (x + weight * clouds) * top / (top + weight)


def _brightness(x: Floats, rng: Rng, added: float) -> Floats:
    """Raise the value of HSV: the largest channel grows, the others keep their ratio to it; black becomes grey."""
    value = x.max(axis=1, keepdims=True)
    raised = np.minimum(value + added, 1)
    return np.where(value > 0, x * raised / np.maximum(value, 1e-12), raised)


def _contrast(x: Floats, rng: Rng, factor: float) -> Floats:
    mean = x.mean(axis=(2, 3), keepdims=True)
    return (x - mean) * factor + mean


def _elastic(x: Floats, rng: Rng, constants: tuple[float, float, float]) -> Floats:
    """An affine distortion that moves three points at random, then a smooth random displacement of every pixel."""
    from scipy.ndimage import gaussian_filter

    n, (height, width) = len(x), x.shape[2:]
    side = min(height, width)
    amplitude, sigma, reach = (side * constant for constant in constants)
    rows, columns = np.mgrid[:height, :width].astype(float)
    third = side // 3
    corners = np.array([[1, 1], [1, -1], [-1, -1]]) * third + np.array([width // 2, height // 2])
    moved = np.concatenate([corners + rng.uniform(-reach, reach, (n, 3, 2)), np.ones((n, 3, 1))], axis=2)
    back = np.linalg.solve(moved, np.broadcast_to(corners, (n, 3, 2)).astype(float))  # [N, 3, 2]: from moved to old places
    places = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ back[:, None]
    x = resample(x, places[..., 1], places[..., 0], mirror_at_centre=True)
    down, right = (
        amplitude * gaussian_filter(rng.uniform(-1, 1, (n, height, width)), (0, sigma, sigma), mode="reflect", truncate=3)
        for _ in range(2)
    )
    return resample(x, rows + down, columns + right, mirror_at_centre=False)


def _pixelate(x: Floats, rng: Rng, share: float) -> Floats:
    from PIL import Image

    height, width = x.shape[2:]
    small = int(width * share), int(height * share)
    out = np.empty_like(x, dtype=np.float32)
    for index in np.ndindex(x.shape[:2]):
        picture = Image.fromarray(np.ascontiguousarray(x[index], dtype=np.float32))
        out[index] = np.asarray(picture.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX))
    return out


def _jpeg(x: Floats, rng: Rng, quality: int) -> Floats:
    from PIL import Image

    out = np.empty_like(x, dtype=np.float32)
    for i, pixels in enumerate(np.rint(255 * x).astype(np.uint8).transpose(0, 2, 3, 1)):
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "JPEG", quality=quality)
        decoded = np.asarray(Image.open(file), dtype=np.float32) / 255
        out[i] = decoded.reshape(pixels.shape).transpose(2, 0, 1)
    return out


_CORRUPTIONS: dict[str, Callable[[Floats, Rng, Any], Floats]] = {
    "gaussian-noise": _gaussian_noise, "shot-noise": _shot_noise, "impulse-noise": _impulse_noise,
    "defocus-blur": _defocus_blur, "glass-blur": _glass_blur, "motion-blur": _motion_blur, "zoom-blur": _zoom_blur,
    "snow": _snow, "frost": _frost, "fog": _fog, "brightness": _brightness, "contrast": _contrast, "elastic": _elastic,
    "pixelate": _pixelate, "jpeg": _jpeg,
}  # fmt: skip


def corrupt(x: Floats, name: str, severity: int, seed: int = 0) -> Floats:
    """Corrupted copies of images [N, C, H, W] with 1 or 3 channels in [0, 1]; float32, in [0, 1].

    Args:
        name: one of SEVERITIES.
        severity: 1 (mild) to 5.
        seed: together with the name and severity it decides every random number.
    """
    rng = np.random.default_rng([seed, list(SEVERITIES).index(name), severity])
    made = _CORRUPTIONS[name](np.asarray(x, dtype=np.float64), rng, SEVERITIES[name][severity - 1])
    return made.clip(0, 1).astype(np.float32)
