"""Saving and loading a controller: plain numbers, strings and tensors, keyed by layer name."""

import warnings
from typing import TYPE_CHECKING, Any

import torch

from .config import Config
from .errors import StateError

if TYPE_CHECKING:
    from .homeostat import Homeostat

VERSION = 1
VECTORS = ("state", "average", "weight", "sizes", "scale", "bad_updates")  # of a Homeostat: shape [L]
_NUMBERS = ("gain", "steps", "epochs", "metric_mean", "metric_variance", "metric_weight", "updated")


def save_state(homeostat: "Homeostat") -> dict[str, Any]:
    """The state, with the layers in their present order."""
    layers = {
        layer.name: {
            **{name: getattr(homeostat, name)[i].clone() for name in VECTORS},
            "spikes": None if spikes is None else spikes.clone(),
            "count": count,
        }
        for i, layer in enumerate(homeostat.layers)
        for spikes, count in [layer.sums()]
    }
    return {
        "version": VERSION,
        "config": homeostat.config.to_dict(),
        "layers": layers,
        "arrivals": [layer.name for layer in homeostat.arrivals],
        "held": None if homeostat.held is None else dict(homeostat.held),
        "history": [dict(record) for record in homeostat.history],
        **{name: getattr(homeostat, name) for name in _NUMBERS},
    }


def load_state(homeostat: "Homeostat", state: dict[str, Any]) -> None:
    """Check everything, then take it over; see `Homeostat.load_state_dict`."""
    version = state.get("version") if isinstance(state, dict) else None
    if version != VERSION:
        raise StateError(f"this is no state of a Homeostat of version {VERSION} (its version says {version!r})")
    lacking = [key for key in ("layers", "arrivals", "config", "history", "held", *_NUMBERS) if key not in state]
    if lacking:
        raise StateError(f"the state lacks {', '.join(map(repr, lacking))}: was it saved by state_dict()?")
    saved, own = state["layers"], {layer.name: layer for layer in homeostat.layers}
    if set(saved) != set(own):
        missing, extra = sorted(set(own) - set(saved)), sorted(set(saved) - set(own))
        raise StateError(
            "the state belongs to another model: "
            + "; ".join(f"{what} {', '.join(names)}" for what, names in (("it lacks", missing), ("it adds", extra)) if names)
        )
    if Config.from_dict(state["config"]) != homeostat.config:
        warnings.warn("the state was saved with another Config; the one given to attach stays in force", stacklevel=3)
    device = homeostat.state.device
    try:
        vectors = {
            name: torch.stack([torch.as_tensor(saved[key][name], dtype=torch.float32).reshape(()).to(device) for key in saved])
            for name in VECTORS
        }
        sums = {name: None if entry["spikes"] is None else entry["spikes"].to(device) for name, entry in saved.items()}
        counts = {name: int(entry["count"]) for name, entry in saved.items()}
        arrivals = [own[name] for name in state["arrivals"]]
        history = [dict(record) for record in state["history"]]
        held = None if state["held"] is None else {name: float(state["held"][name]) for name in saved}
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise StateError(f"the state is damaged ({error!r}): was it saved by state_dict()?") from error
    homeostat.layers = [own[name] for name in saved]
    for name, vector in vectors.items():
        setattr(homeostat, name, vector)
    for name in _NUMBERS:
        setattr(homeostat, name, state[name])
    for name, layer in own.items():
        layer.forget()
        layer.spikes, layer.count, layer.fired = sums[name], counts[name], layer in arrivals
    homeostat.arrivals, homeostat.history, homeostat.held = arrivals, history, held
    homeostat.sensing = homeostat.steps % homeostat.config.interval == 0
    homeostat.rewrite()
