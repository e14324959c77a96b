"""Every spiking layer of tracetorch with graded, rounded and random spikes, and with fixed and per-neuron thresholds."""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from .case import BATCH, NEURONS, STEPS, Case, first

TRAITS = ("", "D", "S", "R", "DS", "DR", "SR", "DSR")
PER_NEURON = torch.linspace(0.7, 1.3, NEURONS)


def stepped(module: Any, x: Tensor) -> list[Any]:
    module.zero_states()
    return [module(step) for step in x]


def strength(output: Any) -> Tensor:
    """Of graded spikes: each counts as much as it is strong."""
    return first(output).abs().clamp(max=1.0)


def slope(raw: Tensor, scale: float) -> Tensor:
    """d raw'/d raw where softplus(raw') = s softplus(raw)."""
    return scale * torch.sigmoid(raw) / -torch.expm1(-scale * nn.functional.softplus(raw))


def case(name: str, cls: Callable[..., nn.Module], of: dict[str, Any] | None = None, **kwargs: Any) -> Case:
    """`of`: fields of the Case that differ from the usual; the thresholds of a ternary layer are equal."""
    names = ("pos_threshold", "neg_threshold") if "LIT" in name else ("threshold",)
    learnable = kwargs.pop("learn", True)
    fixed = {} if learnable else {f"learn_{name}": False for name in names}

    def build(threshold: Any) -> nn.Module:
        if isinstance(threshold, Tensor) and threshold.ndim == 0:
            threshold = threshold.item()  # from a tensor without dimensions tracetorch makes a scalar threshold
        return cls(NEURONS, **dict.fromkeys(names, threshold), **fixed, **kwargs)

    fields: dict[str, Any] = {
        "graded": "quant_fn" not in kwargs,
        "spikes": first if "quant_fn" in kwargs else strength,
        "second": "raw_neg_threshold" if len(names) > 1 else None,
        **(of or {}),
    }
    return Case(
        f"tracetorch-{name}",
        build,
        stepped,
        writer="tensor",
        attribute=f"raw_{names[0]}",
        learnable=learnable,
        slope=slope,
        rounding=True,  # a rebuilt threshold goes through the inverse of softplus
        **fields,
    )


def cases() -> list[Case]:
    if find_spec("tracetorch") is None:
        return []
    snn: Any = importlib.import_module("tracetorch.snn")
    functional: Any = importlib.import_module("tracetorch.functional")
    rounded = functional.round_ste()
    found = []
    for kind in ("LIB", "LIT", "LITS"):
        for traits in TRAITS:
            name = traits + kind
            found.append(case(name, getattr(snn, name)))
            found.append(case(f"{name}-rounded", getattr(snn, name), quant_fn=rounded))
    for name in ("LIB", "LITS"):
        cls = getattr(snn, name)
        found += [
            case(f"{name}-levels", cls, quant_fn=functional.round_ste(0.25)),
            case(f"{name}-stochastic", cls, quant_fn=functional.stochastic_round_ste()),
            case(f"{name}-probabilistic", cls, quant_fn=functional.probabilistic_ste()),
            case(f"{name}-fixed", cls, quant_fn=rounded, learn=False),
            case(f"{name}-fixed-graded", cls, learn=False),
            case(f"{name}-per-neuron", cls, {"threshold": PER_NEURON}, quant_fn=rounded),
            case(f"{name}-high", cls, {"threshold": 30.0, "drive": 30.0}, quant_fn=rounded),
            case(f"{name}-low", cls, {"threshold": 1e-3}),
            case(f"{name}-channels", cls, {"shape": (STEPS, BATCH, NEURONS, 2, 2)}, quant_fn=rounded, dim=1),
        ]
        rank: Any = {f"{name}_rank": 0 for name in (("threshold",) if name == "LIB" else ("pos_threshold", "neg_threshold"))}
        found.append(case(f"{name}-scalar", cls, quant_fn=rounded, **rank))
    return found


CASES: list[Case] = cases()
