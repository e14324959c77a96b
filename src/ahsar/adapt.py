"""Test-time adaptation: scales follow unlabelled test batches, in a context of its own that gives everything back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from .config import Config
from .errors import AttachError
from .regulator import Regulator
from .state import each


class Adaptation:
    """What `Homeostat.adapting` gives: the learned scales, to go back to."""

    def __init__(self, regulator: Regulator) -> None:
        self._regulator = regulator
        self._state, self._sums = each(regulator.state, torch.clone), regulator.group.sums()
        self._arrivals = tuple(regulator.group.arrivals)

    def reset(self) -> None:
        """Put the scales and the controller's state back to what they were when the context was entered."""
        # sums of training batches are not those of test batches
        self._regulator.take(self._state, {}, self._arrivals)

    def end(self, keep: bool) -> None:
        """Give everything back, or take the scales along: then without the steps, records and sums of test batches."""
        state, arrivals = self._state, self._arrivals
        if keep:
            now, arrivals = each(self._regulator.state, torch.clone), tuple(self._regulator.group.arrivals)
            state = replace(now, steps=state.steps, epochs=state.epochs, history=state.history)
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
    constants = regulator.config
    # not tensors of inference mode, wherever the context is entered: training may follow
    with torch.inference_mode(False):
        adaptation = Adaptation(regulator)
    regulator.config = replace(constants, beta=0.0, interval=1) if config is None else config
    group.in_eval = True
    group.forget()
    regulator.sense_when_due()
    try:
        yield adaptation
    finally:
        group.in_eval, regulator.config = False, constants
        # detached or baked within: there is nothing left to give back
        if group.hooked:
            with torch.inference_mode(False):
                adaptation.end(keep)
