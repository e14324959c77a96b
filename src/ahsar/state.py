"""The controller's state as a value: what a Homeostat keeps between updates, and how it is saved and read again."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .config import Config
from .errors import StateError

VERSION = 2
VECTORS = ("log_scale", "average", "heard", "sizes", "scale", "led", "pushed", "away", "silent", "own", "bad")
_NUMBERS = (
    *("gain", "stride", "futile", "largest_rate", "spacing", "steps", "epochs", "updated"),
    *("metric", "metric_mean", "metric_best", "metric_variance", "metric_weight", "last_energy"),
)
_WHOLE = ("futile", "spacing", "steps", "epochs")
_COUNTS = (*_WHOLE, "heard", "sizes", "led", "silent", "bad", "largest_rate", "metric_variance", "metric_weight", "stride")

Sums = Mapping[str, tuple[Tensor | None, int]]  # what was sensed since the last update: by name, spikes (0-d) and outputs


@dataclass(frozen=True, eq=False)
class ControllerState:
    """Everything that the controller knows. Vectors are float32 of shape [L], whatever the model's dtype.

    Attributes:
        names: qualified names of the layers, by definition until the first update, in forward order from then on.
        log_scale: a of equation (5), 0 where a layer was never moved.
        average: r̄ of equation (2), in [0, 1].
        heard: the weight of all rates in r̄, in [0, 1); 0 before the first.
        sizes: n of equation (7), the outputs of each layer in the last update that it ran in.
        scale: s, the factors in force, > 0.
        led: n of equation (5), updates for which a layer was led; infinite while it rests.
        pushed: what the last update that the layer ran in moved a by.
        away: updates in a row that a resting layer spent outside the edges of rescue; negative: updates until it may be led.
        silent: updates in a row with a rate below 1 %.
        own: the set-point of a layer that has its own, NaN elsewhere.
        bad: updates of this epoch whose rate was NaN or infinite.
        gain: G of equation (9), ≥ 1.
        stride: γ of equation (9) over that of the Config.
        futile: times in a row that the gain rose and the energy (7) did not fall.
        largest_rate: the largest learning rate so far, 0 if none is known.
        spacing: steps from one update to the next.
        steps, epochs: optimiser steps seen, and epochs closed.
        updated: whether there was an update.
        metric, metric_mean, metric_best: the last validation metric, its smoothed value and the best of those.
        metric_variance, metric_weight: noise of the metric, equation (8).
        last_energy: E of equation (7) when the last epoch closed.
        held: scales fixed by hand, by name, or None.
        history: one record per epoch: metric, energy, progress, gain, rates and scales.
    """

    names: tuple[str, ...]
    log_scale: Tensor
    average: Tensor
    heard: Tensor
    sizes: Tensor
    scale: Tensor
    led: Tensor
    pushed: Tensor
    away: Tensor
    silent: Tensor
    own: Tensor
    bad: Tensor
    gain: float = 1.0
    stride: float = 1.0
    futile: int = 0
    largest_rate: float = 0.0
    spacing: int = 1
    steps: int = 0
    epochs: int = 0
    updated: bool = False
    metric: float = 0.0
    metric_mean: float = 0.0
    metric_best: float = 0.0
    metric_variance: float = 0.0
    metric_weight: float = 0.0
    last_energy: float = 0.0
    held: Mapping[str, float] | None = None
    history: tuple[dict[str, Any], ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self.scale.device

    def by_name(self, vector: Tensor) -> dict[str, float]:
        """The entries of a vector [L]. Copies from the device."""
        return dict(zip(self.names, vector.tolist(), strict=True))

    def rates(self) -> dict[str, float]:
        """Smoothed rate of each layer in [0, 1], NaN before its first. Copies from the device."""
        return self.by_name(torch.where(self.heard > 0, self.average, torch.nan))


def initial(names: Sequence[str], device: torch.device) -> ControllerState:
    """Nothing heard yet, all scales 1, and every layer free to be led."""
    values = {**dict.fromkeys(VECTORS, 0.0), "scale": 1.0, "own": torch.nan}
    vectors: dict[str, Any] = {
        name: torch.full((len(names),), value, dtype=torch.float32, device=device) for name, value in values.items()
    }
    return ControllerState(tuple(names), **vectors)


def each(state: ControllerState, change: Callable[[Tensor], Tensor]) -> ControllerState:
    """The same state with every vector changed: moved, copied, reordered."""
    return replace(state, **{name: change(getattr(state, name)) for name in VECTORS})


def reorder(state: ControllerState, names: Sequence[str]) -> ControllerState:
    """The same state with its layers in another order."""
    index = torch.tensor([state.names.index(name) for name in names], device=state.device)
    return replace(each(state, lambda vector: vector[index]), names=tuple(names))


def keep(state: ControllerState, names: Sequence[str]) -> ControllerState:
    """The state of these layers alone, in this order."""
    held = None if state.held is None else {name: state.held[name] for name in names}
    return replace(reorder(state, names), held=held)


def to_dict(state: ControllerState, config: Config, sums: Sums, arrivals: Sequence[str]) -> dict[str, Any]:
    """Plain numbers, strings and tensors, keyed by layer name, the layers in their present order."""
    layers = {
        name: {
            **{key: getattr(state, key)[i].clone() for key in VECTORS},
            "spikes": spikes,
            "count": count,
        }
        for i, name in enumerate(state.names)
        for spikes, count in [sums[name]]
    }
    return {
        "version": VERSION,
        "config": config.to_dict(),
        "layers": layers,
        "arrivals": list(arrivals),
        "held": None if state.held is None else dict(state.held),
        "history": [dict(record) for record in state.history],
        **{name: getattr(state, name) for name in _NUMBERS},
    }


def from_dict(saved: dict[str, Any], names: Sequence[str], device: torch.device) -> tuple[ControllerState, Sums]:
    """What `to_dict` saved of these layers, in the order that they had then.

    Raises:
        StateError: it is of another model or version, or damaged.
    """
    version = saved.get("version") if isinstance(saved, dict) else None
    if not isinstance(version, int) or version != VERSION:  # a tensor of several numbers equals nothing
        older = ". It was saved by ahsar 0.1, whose law had another state: train on with that release, or attach anew"
        raise StateError(
            f"this is no state of a Homeostat of version {VERSION} (its version says {version!r})"
            + older * (isinstance(version, int) and version == 1)
        )
    lacking = [key for key in ("layers", "arrivals", "config", "history", "held", *_NUMBERS) if key not in saved]
    if lacking:
        raise StateError(f"the state lacks {', '.join(map(repr, lacking))}: was it saved by state_dict()?")
    layers = saved["layers"]
    if not isinstance(layers, dict):
        raise StateError(f"the state is damaged (its layers are a {type(layers).__name__}): was it saved by state_dict()?")
    if set(layers) != set(names):
        added = sorted(map(str, set(layers) - set(names)))
        differences = (("it lacks", sorted(set(names) - set(layers))), ("it adds", added))
        raise StateError(
            "the state belongs to another model: "
            + "; ".join(f"{what} {', '.join(which)}" for what, which in differences if which)
        )
    try:
        vectors = {
            key: torch.stack(
                [torch.as_tensor(layers[name][key], dtype=torch.float32, device=device).reshape(()) for name in layers]
            )
            for key in VECTORS
        }
        spikes = {
            name: None if entry["spikes"] is None else entry["spikes"].to(device, torch.float32).reshape(())
            for name, entry in layers.items()
        }
        sums = {name: (spikes[name], int(entry["count"])) for name, entry in layers.items()}
        held = None if saved["held"] is None else {name: float(saved["held"][name]) for name in layers}
        history = tuple(dict(record) for record in saved["history"])
        numbers = {name: saved[name] for name in _NUMBERS}
        state = ControllerState(tuple(layers), held=held, history=history, **vectors, **numbers)
        _check(state, sums, saved["arrivals"])
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise StateError(f"the state is damaged ({error!r}): was it saved by state_dict()?") from error
    return state, sums


def _check(state: ControllerState, sums: Sums, arrivals: Any) -> None:
    """Raise ValueError, or TypeError, for what no controller comes to: a later step would fail, or go on with nonsense."""
    for key in VECTORS:
        values: Tensor = getattr(state, key)
        fits = values.isfinite() | (values.isnan() if key == "own" else values == math.inf if key == "led" else False)
        fits &= values > 0 if key == "scale" else values >= 0 if key in _COUNTS else True
        if not bool(fits.all()):
            raise ValueError(f"{key} = {values.tolist()}")
    for name in _NUMBERS:
        value, least = getattr(state, name), {"gain": 1, "spacing": 1}.get(name, 0 if name in _COUNTS else -math.inf)
        kind = bool if name == "updated" else int if name in _WHOLE else (int, float)
        real = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        # the energy of layers that never ran is NaN
        # squares of metrics are to be numbers too
        if not real or not (value >= least or name == "last_energy") or abs(value) > 1e150:
            raise ValueError(f"{name} = {value!r}")
    if not isinstance(arrivals, list) or len(set(arrivals)) < len(arrivals) or not set(arrivals) <= set(state.names):
        raise ValueError(f"arrivals = {arrivals!r}")
    if wrong := [scale for scale in (state.held or {}).values() if not 0 < scale < math.inf]:
        raise ValueError(f"held scale {wrong[0]}")
    if wrong := [count for _, count in sums.values() if count < 0]:
        raise ValueError(f"count {wrong[0]}")
    if wrong := [record for record in state.history if not isinstance(record.get("gain"), (int, float))]:
        raise ValueError(f"history has {wrong[0]}")
