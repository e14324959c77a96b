"""Corruptions against closed forms, PIL, SciPy, OpenCV, torchvision and tonic; severities, ranges, determinism."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from ahsar.errors import DataError, WorkloadError
from ahsar.lab import corruptions, data
from ahsar.lab.corruptions import events, filters, images
from ahsar.lab.spec.workload import load
from tests.lab.data.test_data import event_arrays, small_events, write_events

Pictures = np.ndarray


def pictures(n: int = 12, channels: int = 3, side: int = 32) -> Pictures:
    """Coloured noise with a bright square: edges, and no pixel at 0 or 1."""
    rng = np.random.default_rng(0)
    x = np.concatenate([filters.plasma(rng, n, side, 1.3) for _ in range(channels)], axis=1)
    x[:, :, side // 4 : side // 2, side // 3 : side // 2] += 0.7
    return (0.15 + 0.5 * x / x.max()).astype(np.float32)


def distances(x: Pictures, name: str) -> list[float]:
    return [float(((images.corrupt(x, name, level) - x) ** 2).mean()) for level in corruptions.LEVELS]


@pytest.mark.parametrize("name", images.SEVERITIES)
def test_shape_range_determinism_for_any_image(name: str) -> None:
    for channels, side in ((3, 32), (1, 28), (1, 14), (3, 8)):
        x = pictures(4, channels, side)
        before = x.copy()
        for level in (1, 5):
            made = images.corrupt(x, name, level)
            assert made.shape == x.shape and made.dtype == np.float32
            assert made.min() >= 0 and made.max() <= 1 and np.isfinite(made).all()
            assert np.array_equal(made, images.corrupt(x, name, level))
            assert not np.array_equal(made, x) or (name, side, level) == ("zoom-blur", 8, 1)  # less than a pixel
        assert np.array_equal(x, before)
    random = name not in ("defocus-blur", "zoom-blur", "brightness", "contrast", "pixelate", "jpeg")
    x = pictures()
    assert np.array_equal(images.corrupt(x, name, 3), images.corrupt(x, name, 3, seed=1)) != random


# Their published constants are not quite in order of squared distance, and elastic's not at all: docs/robustness.md.
UNORDERED = {"glass-blur", "motion-blur", "zoom-blur", "frost", "pixelate"}


@pytest.mark.parametrize("name", sorted(set(images.SEVERITIES) - UNORDERED - {"elastic"}))
def test_distance_grows_with_severity(name: str) -> None:
    found = distances(pictures(), name)
    assert found == sorted(found) and found[0] < found[2] < found[4]


@pytest.mark.parametrize("name", sorted(UNORDERED))
def test_the_worst_severity_is_worse_than_the_first(name: str) -> None:
    found = distances(pictures(), name)
    assert found[4] > 1.2 * found[0]


def test_noise_has_the_stated_size() -> None:
    x = np.full((40, 1, 32, 32), 0.5, np.float32)
    for level, deviation in enumerate(images.SEVERITIES["gaussian-noise"], 1):
        noise = images.corrupt(x, "gaussian-noise", level) - x
        assert noise.std() == pytest.approx(deviation, rel=0.02) and abs(noise.mean()) < 0.002
    for level, photons in enumerate(images.SEVERITIES["shot-noise"], 1):
        made = images.corrupt(x, "shot-noise", level)
        assert made.std() == pytest.approx((0.5 / photons) ** 0.5, rel=0.02) and made.mean() == pytest.approx(0.5, abs=0.002)
    for level, amount in enumerate(images.SEVERITIES["impulse-noise"], 1):
        made = images.corrupt(x, "impulse-noise", level)
        shares = [(made == value).mean() for value in (0, 1, 0.5)]
        assert shares == pytest.approx([amount / 2, amount / 2, 1 - amount], abs=0.004)


def test_brightness_and_contrast_in_closed_form() -> None:
    import colorsys

    x = pictures(2)
    x[0, :, 0, 0] = 0.0
    for level, added in enumerate(images.SEVERITIES["brightness"], 1):
        made = images.corrupt(x, "brightness", level)
        for row, column in ((0, 0), (9, 12), (30, 3)):
            hue, saturation, value = colorsys.rgb_to_hsv(*(float(v) for v in x[0, :, row, column]))
            wanted = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + added))
            assert made[0, :, row, column] == pytest.approx(wanted, abs=1e-6)
    for level, factor in enumerate(images.SEVERITIES["contrast"], 1):
        made = images.corrupt(x, "contrast", level)
        assert made.mean((2, 3)) == pytest.approx(x.mean((2, 3)), abs=1e-5)
        assert made.std((2, 3)) == pytest.approx(factor * x.std((2, 3)), rel=1e-4)


def test_pixelate_and_jpeg_are_those_of_pil() -> None:
    from PIL import Image

    x = (pictures(2) * 255).astype(np.uint8)
    for level in (1, 5):
        pixelated = images.corrupt(x / 255, "pixelate", level)
        compressed = images.corrupt(x / 255, "jpeg", level)
        small = int(32 * images.SEVERITIES["pixelate"][level - 1])
        for i in range(2):
            picture = Image.fromarray(x[i].transpose(1, 2, 0))
            box = Image.Resampling.BOX
            wanted = np.asarray(picture.resize((small, small), box).resize((32, 32), box)) / 255
            assert np.abs(pixelated[i].transpose(1, 2, 0) - wanted).max() < 1.5 / 255  # PIL rounds to 8 bits
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=images.SEVERITIES["jpeg"][level - 1])
            assert np.abs(compressed[i].transpose(1, 2, 0) - np.asarray(Image.open(file)) / 255).max() < 1e-6


@pytest.mark.parametrize("level", corruptions.LEVELS)
def test_defocus_is_that_of_opencv(level: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV, with which CIFAR-10-C was made")
    radius, alias = images.SEVERITIES["defocus-blur"][level - 1]
    rows, columns = np.mgrid[-8:9, -8:9]
    disk = (rows**2 + columns**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disk / disk.sum(), (3, 3), sigmaX=alias)
    x = pictures(2)
    made = images.corrupt(x, "defocus-blur", level)
    for i, channel in np.ndindex(2, 3):
        assert made[i, channel] == pytest.approx(cv2.filter2D(x[i, channel], -1, kernel), abs=1e-5)


@pytest.mark.parametrize("level", corruptions.LEVELS)
def test_jpeg_is_that_of_torchvision(level: int) -> None:
    """Which brings a library of its own: pixels of smooth pictures may differ by its rounding."""
    transforms = pytest.importorskip("torchvision.transforms.v2.functional", reason="needs torchvision", exc_type=ImportError)
    x = torch.from_numpy((pictures(3) * 255).astype(np.uint8))
    made = images.corrupt(x.numpy() / 255, "jpeg", level)
    wanted = torch.stack([transforms.jpeg(one, quality=images.SEVERITIES["jpeg"][level - 1]) for one in x])
    assert np.abs(made * 255 - wanted.numpy()).max() < 3


def test_no_strength_is_no_change() -> None:
    x, rng = pictures().astype(float), np.random.default_rng(0)
    for name, nothing in {
        "gaussian-noise": 0.0, "impulse-noise": 0.0, "brightness": 0.0, "contrast": 1.0, "pixelate": 1.0,
        "zoom-blur": 1.005, "frost": (1, 0), "fog": (0, 2), "defocus-blur": (0.5, 0.01), "glass-blur": (0.01, 1, 0),
        "motion-blur": (3, 0.01), "elastic": (0, 0, 0), "snow": (-9, 0.1, 1, 0.5, 3, 1, 1.0),
    }.items():  # fmt: skip
        assert images._CORRUPTIONS[name](x, rng, nothing) == pytest.approx(x, abs=1e-6), name


def test_blurs_keep_a_flat_picture_and_spread_a_point_as_they_should() -> None:
    flat = np.full((3, 1, 17, 17), 0.6)
    point = np.zeros((3, 1, 17, 17))
    point[:, :, 8, 8] = 1.0
    for blur in (lambda x: filters.defocus(x, 1.5, 0.1), lambda x: filters.gaussian(x, 0.4)):
        assert blur(flat) == pytest.approx(flat) and blur(point).sum() == pytest.approx(3)
    disk = filters.defocus(point, 1.5, 0.1)[0, 0]
    assert disk[7:10, 7:10] == pytest.approx(np.full((3, 3), 1 / 9)) and disk.sum() == pytest.approx(1)
    assert filters.motion(flat, 6, 2, np.array([0.0, 0.5, 1.0])) == pytest.approx(flat)
    streak = filters.motion(point, 3, 2, np.radians([0.0, 90.0, 45.0]))
    weights = np.exp(-0.5 * (np.arange(7) / 2) ** 2)
    weights /= weights.sum()
    assert streak[0, 0, 8, 8:1:-1] == pytest.approx(weights)  # each pixel looks to its right
    assert streak[1, 0, 8:1:-1, 8] == pytest.approx(weights)
    assert streak[2, 0].trace() == pytest.approx(1)


@pytest.mark.parametrize("factor", [1.0, 1.04, 1.2, 2.25])
@pytest.mark.parametrize("side", [14, 32])
def test_zoom_is_that_of_scipy(factor: float, side: int) -> None:
    x = pictures(2, 3, side).astype(float)
    cut = int(np.ceil(side / factor))
    start = (side - cut) // 2
    wanted: Any = ndimage.zoom(x[:, :, start : start + cut, start : start + cut], (1, 1, factor, factor), order=1)
    start = (wanted.shape[2] - side) // 2
    assert filters.zoom(x, factor) == pytest.approx(wanted[:, :, start : start + side, start : start + side], abs=1e-9)


@pytest.mark.parametrize(("at_centre", "mode"), [(True, "mirror"), (False, "reflect")])
def test_resampling_is_that_of_scipy(at_centre: bool, mode: str) -> None:
    x, rng = pictures(3, 2, 16).astype(float), np.random.default_rng(1)
    rows, columns = (grid + rng.normal(0, 3, (3, 16, 16)) for grid in np.mgrid[:16, :16])
    made = filters.resample(x, rows, columns, at_centre)
    for i, channel in np.ndindex(3, 2):
        wanted = ndimage.map_coordinates(x[i, channel], [rows[i], columns[i]], order=1, mode=mode)
        assert made[i, channel] == pytest.approx(wanted, abs=1e-6)


def test_plasma_is_smoother_with_more_decay() -> None:
    rough, smooth = (filters.plasma(np.random.default_rng(0), 8, 32, decay) for decay in (1.2, 3.0))
    assert rough.min() == smooth.min() == 0 and rough.max() == smooth.max() == 1
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()


# --- events ---------------------------------------------------------------------------------------------------------

SENSOR = events.Sensor((128, 128, 2), 100_000)


def streams(n: int = 6, size: int = 2000) -> list[Any]:
    rng, made = np.random.default_rng(0), []
    for _ in range(n):
        window = np.empty(size, dtype=[("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])
        window["x"], window["y"] = rng.integers(0, 128, (2, size))
        window["t"], window["p"] = np.sort(rng.integers(0, 100_000, size)), rng.integers(0, 2, size)
        made.append(window)
    return made


def share_left(name: str, level: int) -> float:
    return sum(map(len, events.corrupt(streams(), SENSOR, name, level))) / sum(map(len, streams()))


@pytest.mark.parametrize("name", events.SEVERITIES)
def test_events_stay_in_the_window_in_order_and_repeat(name: str) -> None:
    windows = [*streams(3), streams(1)[0][:0]]
    kept, state = [window.copy() for window in windows], repr(np.random.get_state())
    for level in corruptions.LEVELS:
        made = events.corrupt(windows, SENSOR, name, level)
        assert len(made) == 4 and len(made[3]) == 0
        for window in made:
            assert window.dtype == windows[0].dtype and (np.diff(window["t"]) >= 0).all()
            for axis, end in {"x": 128, "y": 128, "t": 100_000, "p": 2}.items():
                assert ((window[axis] >= 0) & (window[axis] < end)).all()
        again = events.corrupt(windows, SENSOR, name, level)
        assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))
        assert not np.array_equal(made[0], events.corrupt(windows, SENSOR, name, level, seed=1)[0])
    assert all(np.array_equal(a, b) for a, b in zip(windows, kept, strict=True))
    assert repr(np.random.get_state()) == state


@pytest.mark.parametrize("level", corruptions.LEVELS)
def test_events_are_dropped_and_added_as_stated(level: int) -> None:
    amount = {name: constants[level - 1] for name, constants in events.SEVERITIES.items()}
    assert share_left("drop-event", level) == pytest.approx(1 - amount["drop-event"], abs=1e-3)
    assert share_left("drop-time", level) == pytest.approx(1 - amount["drop-time"], abs=0.02)
    assert share_left("drop-area", level) == pytest.approx(1 - amount["drop-area"] ** 2, abs=0.02)
    assert share_left("drop-pixel", level) == pytest.approx(1 - amount["drop-pixel"], abs=0.02)
    assert share_left("uniform-noise", level) == pytest.approx(1 + amount["uniform-noise"], abs=1e-3)
    assert share_left("spatial-jitter", level) == share_left("time-jitter", level) == share_left("polarity-flip", level) == 1
    before, after = np.concatenate(streams()), np.concatenate(events.corrupt(streams(), SENSOR, "polarity-flip", level))
    assert (before["p"] != after["p"]).mean() == pytest.approx(amount["polarity-flip"], abs=0.015)
    assert all(np.array_equal(before[field], after[field]) for field in ("x", "y", "t"))


def test_jitter_has_the_stated_size_and_dead_pixels_are_dead_in_all_windows() -> None:
    middle = streams(4)
    for window in middle:
        window["x"] = window["y"] = 64
        window["t"] = 50_000
    for level in corruptions.LEVELS:
        moved = np.concatenate(events.corrupt(middle, SENSOR, "spatial-jitter", level))
        wanted = events.SEVERITIES["spatial-jitter"][level - 1]  # as 128 pixels are the width
        assert (moved["x"] - 64).std() == pytest.approx(wanted, rel=0.05) and abs((moved["y"] - 64).mean()) < 0.2
    late = np.concatenate(events.corrupt(middle, SENSOR, "time-jitter", 3))["t"] - 50_000
    assert late.std() == pytest.approx(10_000, rel=0.05)
    first, second = events.corrupt(streams(2), SENSOR, "drop-pixel", 5)
    alive = {(x, y) for x, y in zip(first["x"], first["y"], strict=True)}
    dead = {(x, y) for x, y in zip(streams(2)[0]["x"], streams(2)[0]["y"], strict=True)} - alive
    assert dead and not dead & {(x, y) for x, y in zip(second["x"], second["y"], strict=True)}


@pytest.mark.parametrize("sensor", [SENSOR, events.Sensor((39, 1, 2), 100_000)])
def test_no_amount_of_it_is_no_change(sensor: events.Sensor) -> None:
    windows = streams(2)
    for window in windows:
        window["x"], window["y"] = window["x"] % sensor.size[0], window["y"] % sensor.size[1]
    for name in events.names(sensor):
        change = events._change(name, 0.0, sensor, windows)
        for window in windows:
            # noise is sorted in, and events of one time may change places
            made, same = (np.sort(one, order=["t", "x", "y", "p"]) for one in (change(window.copy()), window))
            assert np.array_equal(made, same), name


def test_cameras_and_touches_have_corruptions_of_their_own() -> None:
    camera, touch = events.names(SENSOR), events.names(events.Sensor((39, 1, 2), 250))
    assert set(camera) | set(touch) == set(events.SEVERITIES)
    assert set(camera) - set(touch) == {"drop-area", "spatial-jitter"}  # neither has a meaning without neighbours
    assert len(camera) == 7 and set(touch) - set(camera) == {"polarity-flip"}


# --- from a workload ------------------------------------------------------------------------------------------------


def test_clean_events_are_framed_as_the_loader_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AHSAR_CACHE", str(tmp_path / "cache"))
    path = write_events(tmp_path, event_arrays())
    for fields in ({}, {"test_limit": 50}):
        workload = small_events(**fields)
        splits = data.load(workload, path)
        source = corruptions.source(workload, splits, path, 40)
        assert isinstance(source, corruptions.EventSource) and len(source.labels) == 40
        assert torch.equal(source.framed(source.windows), splits.test[0][:40])
        made = source.corrupted("drop-event", 5)
        assert made.shape == source.clean.shape and made.sum() < 0.5 * source.clean.sum()


def test_images_are_corrupted_before_they_are_normalised() -> None:
    workload = load("digits")
    splits = data.load(workload)
    shifted: Any = data.Splits(**{**vars(splits), "test": (splits.test[0] * 4 - 2, splits.test[1])})
    shifted = data.Splits(**{**vars(shifted), "normalised": (torch.tensor(0.5), torch.tensor(0.25))})
    plain, other = (corruptions.source(workload, one, None, 30) for one in (splits, shifted))
    for name in ("brightness", "gaussian-noise"):
        assert torch.allclose(plain.corrupted(name, 4) * 4 - 2, other.corrupted(name, 4), atol=1e-5)
    assert len(plain.labels) == 30 and len(corruptions.source(workload, splits, None).labels) == 400
    with pytest.raises(DataError, match="cannot be corrupted"):
        corruptions.source(workload, data.Splits(**{**vars(splits), "normalised": None}), None)


def test_choices() -> None:
    names = tuple(images.SEVERITIES)
    assert corruptions.chosen(names, None) == names and corruptions.levels(None) == (1, 2, 3, 4, 5)
    assert corruptions.chosen(names, "jpeg,fog") == ("fog", "jpeg") and corruptions.levels("5,1") == (1, 5)
    with pytest.raises(WorkloadError, match="unknown corruption 'rain'"):
        corruptions.chosen(names, "rain")
    with pytest.raises(WorkloadError, match="unknown severity '6'"):
        corruptions.levels("6")


def test_the_documented_severities_are_those_used() -> None:
    text = (Path(__file__).parents[3] / "docs" / "robustness.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    for name, constants in {**images.SEVERITIES, **events.SEVERITIES}.items():
        start = next(i for i, row in enumerate(rows) if row[0] == name)
        more = next(i for i, row in enumerate([*rows[start + 1 :], ["end"]]) if row[0])
        for level, wanted in enumerate(constants):
            told = [float(number) for row in rows[start : start + 1 + more] for number in row[2 + level].split(",")]
            if name == "zoom-blur":
                wanted -= 0.01  # the end of a range, left out
            assert told == pytest.approx(list(wanted) if isinstance(wanted, tuple) else [wanted]), name
