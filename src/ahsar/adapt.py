"""Test-time adaptation: scales follow unlabelled test batches, in a context of its own that gives everything back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from . import controller, functional
from .config import Config, given
from .errors import AttachError
from .regulator import Regulator
from .state import ControllerState, each


def constants(config: Config) -> Config:
    """Those of a controller within `adapting`: no band and no rest, and nothing of rates of other batches."""
    return replace(
        config, band=(1.0, 1.0), lead=(1.0, 1.0), beta=0.0, reaction=0.3, cooling=0.0, tolerance=0.0, response=0.0,
        grace=10**9, interval=1, resting_interval=1, trained=False,
    )  # fmt: skip


def to_their_own(state: ControllerState) -> ControllerState:
    """The same state with every layer led to the smoothed rate that it has now."""
    own = torch.where((state.heard > 0) & (state.average > functional.SILENT), state.average, state.own)
    return replace(controller.lead_anew(state), own=own)


class Adaptation:
    """What `Homeostat.adapting` gives: the learned scales, to go back to."""

    def __init__(self, regulator: Regulator) -> None:
        self._regulator = regulator
        self._state, self._sums = each(regulator.state, torch.clone), regulator.group.sums()
        self._arrivals = tuple(regulator.group.arrivals)

    def reset(self) -> None:
        """Put the scales and the controller's state back to what they were when the context was entered."""
        # sums of training batches are not those of test batches
        self._regulator.take(to_their_own(self._state), {}, self._arrivals)

    def end(self, keep: bool) -> None:
        """Give everything back, or take the scales along: then without the steps, records and sums of test batches."""
        state, arrivals = self._state, self._arrivals
        if keep:
            now, arrivals = each(self._regulator.state, torch.clone), tuple(self._regulator.group.arrivals)
            kept = {name: getattr(state, name) for name in ("led", "away", "own", "spacing", "steps", "epochs", "history")}
            state = replace(now, **kept)
        self._regulator.take(state, self._sums, arrivals)


@contextmanager
def adapting(regulator: Regulator, config: Config | None, keep: bool) -> Iterator[Adaptation]:
    """The work of `Homeostat.adapting`, which documents it."""
    group = regulator.group
    if group.in_eval:
        raise AttachError("adapting() within adapting(): leave the first context, or call its reset()")
    if regulator.paused:
        raise AttachError("adapting() within paused(): nothing is sensed there; leave it first")
    if regulator.state.held is not None:
        raise AttachError("adapting() while the scales are held by hand: call release() first")
    own = regulator.config
    within = constants(own) if config is None else given(config, "adapting()")
    # not tensors of inference mode, wherever the context is entered: training may follow
    with torch.inference_mode(False):
        adaptation = Adaptation(regulator)
    regulator.config = within
    group.in_eval = True
    adaptation.reset()
    try:
        yield adaptation
    finally:
        group.in_eval, regulator.config = False, own
        # detached or baked within: there is nothing left to give back
        if group.hooked:
            with torch.inference_mode(False):
                adaptation.end(keep)
