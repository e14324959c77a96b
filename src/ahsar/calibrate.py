"""Bring the layers to the set-point before the first step."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import checks
from .errors import SensingError
from .snapshot import untouched

if TYPE_CHECKING:
    from .homeostat import Homeostat


def calibrate(homeostat: "Homeostat", batches: list[Any], forward: Callable[[Any], Any], updates: int, tolerance: float) -> int:
    """The work of `Homeostat.calibrate`, which documents it."""
    if not batches:
        raise SensingError("calibrate() got no batches: give it a few inputs of the model")
    model = homeostat.model
    flags = {module: module.training for module in nn.Module.modules(model)}
    sensing, done = homeostat.sensing, 0
    # a leak, and neighbours, would hold layers off the set-point; rates of another scale are old news
    constants = replace(homeostat.config, beta=0.0, leak=0.0, diffusion=0.0)
    _forget(homeostat)
    try:
        with untouched(model) as snapshot, torch.no_grad():
            model.train()
            homeostat.sensing = True
            while done < updates and not _arrived(homeostat, tolerance):
                forward(batches[done % len(batches)])
                # first the state of the layers, then the scales: thresholds kept as floats are attributes too
                snapshot.restore()
                homeostat.update(constants)
                done += 1
    finally:
        homeostat.sensing = sensing
        _forget(homeostat)
        for module, flag in flags.items():
            module.training = flag
        homeostat.rewrite()
    homeostat.warn(checks.not_arrived(homeostat, tolerance))
    return done


def _forget(homeostat: "Homeostat") -> None:
    for layer in homeostat.layers:
        layer.forget()


def _arrived(homeostat: "Homeostat", tolerance: float) -> bool:
    """Whether every layer heard of is within `tolerance` of the set-point; balancing alone has no end."""
    if not homeostat.updated or homeostat.config.centre == "network":
        return False
    return not checks.not_arrived(homeostat, tolerance)
