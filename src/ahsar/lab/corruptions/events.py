"""Corruptions of event streams, most of them made by `tonic.transforms`, before the events are framed. There is no accepted
standard for their severities: ours are below, and in docs/robustness.md."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Events = NDArray[Any]  # fields x, y, t, p; one row per event, in order of t
# the constants of severities 1 to 5
SEVERITIES: dict[str, tuple[float, float, float, float, float]] = {
    "drop-event": (0.1, 0.2, 0.3, 0.5, 0.7),  # share of the events
    "drop-time": (0.1, 0.2, 0.3, 0.4, 0.5),  # share of the window that goes silent
    "drop-area": (0.2, 0.3, 0.4, 0.5, 0.6),  # sides of the blind box, in sides of the sensor
    "drop-pixel": (0.05, 0.1, 0.2, 0.3, 0.5),  # share of dead pixels, the same in all windows
    "uniform-noise": (0.1, 0.25, 0.5, 0.75, 1.0),  # noise events over the mean number of events in a window
    "spatial-jitter": (1, 2, 3, 4, 5),  # deviation in 1/128 of the sensor's width
    "time-jitter": (0.02, 0.05, 0.1, 0.2, 0.3),  # deviation in windows
    "polarity-flip": (0.05, 0.1, 0.2, 0.3, 0.5),  # share of the events, anew in each window: at 0.5 nothing is left of it
}
# neighbours are needed for these, which taxels numbered along no row have not
_IN_A_PLANE = ("drop-area", "spatial-jitter")
# cameras go without, so that their means stay those of the same seven
_OF_TOUCH = ("polarity-flip",)


@dataclass(frozen=True)
class Sensor:
    """What recorded the windows.

    Attributes:
        size: width, height and number of polarities; height 1 where x numbers places that lie in no row.
        window: length of a window, in the unit of t.
    """

    size: tuple[int, int, int]
    window: int


def names(sensor: Sensor) -> tuple[str, ...]:
    """The corruptions of what this sensor records: a camera, or touches where its height is 1."""
    absent = _IN_A_PLANE if sensor.size[1] == 1 else _OF_TOUCH
    return tuple(name for name in SEVERITIES if name not in absent)


def corrupt(windows: list[Events], sensor: Sensor, name: str, severity: int, seed: int = 0) -> list[Events]:
    """Corrupted copies of windows of events; places stay on the sensor, times in the window, in order.

    Args:
        name: one of SEVERITIES.
        severity: 1 (mild) to 5.
        seed: together with the name and severity it decides every random number.
    """
    seeds = np.random.SeedSequence([seed, list(SEVERITIES).index(name), severity])
    with _seeded(seeds.generate_state(4)):
        change = _change(name, SEVERITIES[name][severity - 1], sensor, windows)
        # a window without events stays as it is: there is nothing to drop or move
        return [change(events.copy()) if len(events) else events for events in windows]


def _change(name: str, amount: float, sensor: Sensor, windows: list[Events]) -> Callable[[Events], Events]:
    from tonic import transforms

    width, height, _ = sensor.size
    if name == "drop-event":
        return transforms.DropEvent(p=amount)
    if name == "drop-time":
        return transforms.DropEventByTime(duration_ratio=amount)
    if name == "drop-area":
        return transforms.DropEventByArea(sensor_size=sensor.size, area_ratio=amount)
    if name == "drop-pixel":
        # `DropPixel` looks through all events once per pixel; a map of dead pixels does the same at once
        dead = np.random.permutation(width * height) < round(amount * width * height)
        return lambda events: events[~dead[events["y"].astype(int) * width + events["x"]]]
    if name == "uniform-noise":
        mean = np.mean([len(events) for events in windows])
        return transforms.UniformNoise(sensor_size=sensor.size, n=round(amount * float(mean)))
    if name == "polarity-flip":
        return lambda events: _flip(events, np.random.random(len(events)) < amount)
    if name == "spatial-jitter":
        variance = (amount * width / 128) ** 2
        return lambda events: _jitter_places(events, transforms.SpatialJitter(sensor.size, variance, variance), sensor)
    jitter = transforms.TimeJitter(std=amount * sensor.window, clip_negative=False)

    def jitter_times(events: Events) -> Events:
        moved = jitter(events)
        moved["t"] = np.clip(moved["t"], 0, sensor.window - 1)
        return moved[np.argsort(moved["t"], kind="stable")]

    return jitter_times


def _flip(events: Events, wrong: NDArray[np.bool_]) -> Events:
    """`RandomFlipPolarity` would flip all events of a window or none."""
    events["p"] = np.where(wrong, 1 - events["p"], events["p"])
    return events


def _jitter_places(events: Events, jitter: Callable[[Events], Events], sensor: Sensor) -> Events:
    """Rounded to the nearest pixel; what would leave the sensor stays at its edge, so that no event is lost."""
    places = np.empty(len(events), dtype=[("x", float), ("y", float)])
    places["x"], places["y"] = events["x"], events["y"]
    places = jitter(places)
    for axis, side in zip("xy", sensor.size, strict=False):
        events[axis] = np.clip(np.rint(places[axis]), 0, side - 1)
    return events


@contextmanager
def _seeded(seed: NDArray[Any]) -> Iterator[None]:
    """tonic draws from NumPy's global generator: seed it, and give its state back."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
