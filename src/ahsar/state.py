"""The controller's state as a value: what a Homeostat keeps between updates, and how it is saved and read again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .config import Config
from .errors import StateError

VERSION = 1
# of a ControllerState: its vectors, each with its key in a saved state, and its numbers
VECTORS = {
    "drive": "state",
    "average": "average",
    "heard": "weight",
    "sizes": "sizes",
    "scale": "scale",
    "bad": "bad_updates",
}
_NUMBERS = ("gain", "steps", "epochs", "metric_mean", "metric_variance", "metric_weight", "updated")


Sums = Mapping[str, tuple[Tensor | None, int]]  # what was sensed since the last update: by name, spikes (0-d) and outputs


@dataclass(frozen=True, eq=False)
class ControllerState:
    """Everything that the controller knows. Vectors are float32 of shape [L], whatever the model's dtype.

    Attributes:
        names: qualified names of the layers, by definition until the first update, in forward order from then on.
        drive: h of equation (4).
        average: r̄ of equation (2), in [0, 1].
        heard: the weight of all rates in r̄, in [0, 1); 0 before the first.
        sizes: n of equation (7), the outputs of each layer in the last update that it ran in.
        scale: s, the factors in force, > 0.
        bad: updates of this epoch whose rate was NaN or infinite.
        gain: G of equation (9).
        steps, epochs: optimiser steps seen, and epochs closed.
        metric_mean, metric_variance, metric_weight: of the validation metric, equation (8).
        updated: whether there was an update.
        held: scales fixed by hand, by name, or None.
        history: one record per epoch: metric, energy, progress, gain, rates and scales.
    """

    names: tuple[str, ...]
    drive: Tensor
    average: Tensor
    heard: Tensor
    sizes: Tensor
    scale: Tensor
    bad: Tensor
    gain: float = 1.0
    steps: int = 0
    epochs: int = 0
    metric_mean: float = 0.0
    metric_variance: float = 0.0
    metric_weight: float = 0.0
    updated: bool = False
    held: Mapping[str, float] | None = None
    history: tuple[dict[str, Any], ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self.drive.device

    def by_name(self, vector: Tensor) -> dict[str, float]:
        """The entries of a vector [L]. Copies from the device."""
        return dict(zip(self.names, vector.tolist(), strict=True))

    def rates(self) -> dict[str, float]:
        """Smoothed rate of each layer in [0, 1], NaN before its first. Copies from the device."""
        return self.by_name(torch.where(self.heard > 0, self.average, torch.nan))


def initial(names: Sequence[str], device: torch.device) -> ControllerState:
    """Nothing heard yet, and all scales 1."""
    drive, average, heard, sizes, bad = torch.zeros(5, len(names), device=device).unbind()
    return ControllerState(tuple(names), drive, average, heard, sizes, torch.ones(len(names), device=device), bad)


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
            **{key: getattr(state, field)[i].clone() for field, key in VECTORS.items()},
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
    if version != VERSION:
        raise StateError(f"this is no state of a Homeostat of version {VERSION} (its version says {version!r})")
    lacking = [key for key in ("layers", "arrivals", "config", "history", "held", *_NUMBERS) if key not in saved]
    if lacking:
        raise StateError(f"the state lacks {', '.join(map(repr, lacking))}: was it saved by state_dict()?")
    layers = saved["layers"]
    if set(layers) != set(names):
        differences = (("it lacks", sorted(set(names) - set(layers))), ("it adds", sorted(set(layers) - set(names))))
        raise StateError(
            "the state belongs to another model: "
            + "; ".join(f"{what} {', '.join(which)}" for what, which in differences if which)
        )
    try:
        vectors = {
            field: torch.stack(
                [torch.as_tensor(layers[name][key], dtype=torch.float32).reshape(()).to(device) for name in layers]
            )
            for field, key in VECTORS.items()
        }
        spikes = {name: None if entry["spikes"] is None else entry["spikes"].to(device) for name, entry in layers.items()}
        sums = {name: (spikes[name], int(entry["count"])) for name, entry in layers.items()}
        if unknown := [name for name in saved["arrivals"] if name not in layers]:
            raise KeyError(unknown[0])
        held = None if saved["held"] is None else {name: float(saved["held"][name]) for name in layers}
        history = tuple(dict(record) for record in saved["history"])
        numbers = {name: saved[name] for name in _NUMBERS}
        state = ControllerState(tuple(layers), held=held, history=history, **vectors, **numbers)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise StateError(f"the state is damaged ({error!r}): was it saved by state_dict()?") from error
    return state, sums
