"""Test-time adaptation: scales follow unlabelled test batches, in a context of its own that gives everything back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from .config import Config
from .errors import AttachError
from .state import load_state, save_state

if TYPE_CHECKING:
    from .homeostat import Homeostat


class Adaptation:
    """What `Homeostat.adapting` gives: the learned scales, to go back to."""

    def __init__(self, homeostat: "Homeostat") -> None:
        self.homeostat, self.before = homeostat, save_state(homeostat)

    def reset(self) -> None:
        """Put the scales and the controller's state back to what they were when the context was entered."""
        self._load(self.before)
        self.begin()

    def begin(self) -> None:
        """Forget what was sensed so far: sums of training batches are not those of test batches."""
        for layer in self.homeostat.layers:
            layer.forget()
        self.homeostat.sensing = self.homeostat.steps % self.homeostat.config.interval == 0

    def _load(self, state: dict[str, Any]) -> None:
        # the constants in force may differ from the saved ones, on purpose
        load_state(self.homeostat, {**state, "config": self.homeostat.config.to_dict()})

    def end(self, keep: bool) -> None:
        """Give everything back, or take the scales along: then without the steps, records and sums of test batches."""
        if not keep:
            self._load(self.before)
            return
        learned, before = save_state(self.homeostat), self.before
        for name, entry in learned["layers"].items():
            entry.update({key: before["layers"][name][key] for key in ("spikes", "count")})
        self._load({**learned, **{key: before[key] for key in ("steps", "epochs", "history")}})


@contextmanager
def adapting(homeostat: "Homeostat", config: Config | None, keep: bool) -> Iterator[Adaptation]:
    """The work of `Homeostat.adapting`, which documents it."""
    if homeostat.senses_eval:
        raise AttachError("adapting() within adapting(): leave the first context, or call its reset()")
    if homeostat._paused:
        raise AttachError("adapting() within paused(): nothing is sensed there; leave it first")
    if homeostat.held is not None:
        raise AttachError("adapting() while the scales are held by hand: call release() first")
    constants = homeostat.config
    # not tensors of inference mode, wherever the context is entered: training may follow
    with torch.inference_mode(False):
        adaptation = Adaptation(homeostat)
    homeostat.config = replace(constants, beta=0.0, interval=1) if config is None else config
    homeostat.senses_eval = True
    adaptation.begin()
    try:
        yield adaptation
    finally:
        homeostat.senses_eval, homeostat.config = False, constants
        # detached or baked within: there is nothing left to give back
        if homeostat.attached:
            with torch.inference_mode(False):
                adaptation.end(keep)
