"""Bring the layers to the set-point before the first step."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from . import checks, controller, warned
from .errors import SensingError
from .regulator import Regulator
from .snapshot import in_mode, untouched


def calibrate(
    regulator: Regulator, model: nn.Module, batches: list[Any], forward: Callable[[Any], Any], updates: int, tolerance: float
) -> int:
    """The work of `Homeostat.calibrate`, which documents it."""
    if not batches:
        raise SensingError("calibrate() got no batches: give it a few inputs of the model")
    group, done = regulator.group, 0
    # every layer to the set-point itself, and on until all are there, in ever smaller steps: rates may be steeper than
    # equation (3) takes them to be
    constants = replace(
        regulator.config, band=(1.0, 1.0), lead=(1.0, 1.0), beta=0.0, diffusion=0.0, cooling=0.2, tolerance=0.0,
        response=0.0, trained=False, grace=2 * updates + 1,
    )  # fmt: skip
    regulator.become(controller.lead_anew(regulator.state))
    group.forget()
    try:
        # the snapshot is to hold the layers' own thresholds: a scaled number, put back later, would pass for their user's
        for layer in group.layers:
            layer.threshold.lift(layer.module)
        with in_mode(model, training=True), untouched(model) as snapshot, torch.no_grad():
            regulator.rewrite()
            group.sensing = True
            while done < updates and not _arrived(regulator, tolerance):
                # the graph of the first forward tells whose spikes are the answer
                with torch.set_grad_enabled(group.answers.watching):
                    forward(batches[done % len(batches)])
                # first the state of the layers, then the scales: thresholds kept as floats are attributes too
                snapshot.restore()
                regulator.update(constants)
                done += 1
    finally:
        # what was found is a start: training has its grace still before it
        regulator.take(controller.lead_anew(regulator.state), {}, tuple(group.arrivals))
    warned.say(group.said, checks.not_arrived(regulator.state, regulator.config, tolerance))
    return done


def _arrived(regulator: Regulator, tolerance: float) -> bool:
    """Whether every layer heard of is within `tolerance` of the set-point."""
    return regulator.state.updated and not checks.not_arrived(regulator.state, regulator.config, tolerance)
