"""The loop from layers to thresholds: read what was sensed, ask `controller` for the next state, write its scales."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from . import checks, controller, distributed
from .config import Config
from .controller import Scales
from .errors import ConfigError, SensingError
from .layer import Group
from .state import ControllerState, Sums, each, initial, reorder


class Regulator:
    """Holds the state of one controller, and is the only one who replaces it.

    Attributes:
        group: the hooked layers.
        config: the constants in force.
        state: all that is known of the layers and the epochs.
        paused: whether steps are left out.
    """

    def __init__(self, group: Group, config: Config, device: torch.device, scales: Scales):
        self.group, self.config, self.scales = group, config, scales
        self.state = initial([layer.name for layer in group.layers], device)
        self.paused = False
        self._met = False  # whether the ranks were compared

    def step(self) -> None:
        """An update where one is due, and the count of a step; nothing while paused."""
        if self.paused:
            return
        if self.state.steps % self.config.interval == 0:
            self.update(self.config)
        self.state = replace(self.state, steps=self.state.steps + 1)
        self.sense_when_due()

    @torch.no_grad()
    def update(self, config: Config) -> None:
        """Equations (1) to (6) with the constants of `config`: the controller's own, or calibration's."""
        now, ran = self.state, self._ran()
        if not now.updated:
            now = self._in_forward_order(now, ran)
        alone, place = not distributed.active(), self.group.place()
        if alone and self.group.idle():
            checks.refuse_idleness()
        if place is not None and place != now.device:
            now = each(now, lambda vector: vector.to(place))
        spikes, counts = self.group.gather(now.names, now.device)
        if not alone:
            spikes, counts = distributed.total(spikes, counts)
        self.become(controller.update(now, spikes, counts, config, self.scales))
        self.group.forget()

    def close_epoch(self, metric: float, higher_is_better: bool) -> None:
        """Equations (7) to (9); see `Homeostat.epoch`."""
        now = self.state
        if not now.updated:
            raise SensingError("epoch() before the first step(): no rates are known yet; train, then close the epoch")
        # first the mean: NaN on one rank must stop them all, not leave the others waiting
        value = distributed.mean(metric if higher_is_better else -metric, now.device)
        if not math.isfinite(value):
            raise ConfigError(f"epoch({metric}): the validation metric must be finite; did training diverge?")
        energy = distributed.mean(controller.energy(now), now.device)
        self.become(controller.close_epoch(now, metric, value, energy, self.config, self.scales))
        checks.say(self.group.said, {**checks.not_finite(now), **checks.off_set_point(self.state, self.config)})

    def _ran(self) -> list[str]:
        """The names of the layers that ran, here or on any rank; the first update also compares the ranks."""
        now = self.state
        if not now.updated:
            self.group.recall()
        ran = list(self.group.arrivals)
        if (self._met and now.updated) or not distributed.active():
            return ran
        known = {name: getattr(now, name) for name in ("steps", "epochs", "gain", "updated", "held")}
        known["scales"] = now.scale.tolist()
        ran = distributed.agree(ran, list(now.names), self.config.to_dict(), known)
        self._met = True
        return ran

    def _in_forward_order(self, now: ControllerState, ran: list[str]) -> ControllerState:
        """Layers in the order in which they ran: neighbours in equation (4) are neighbours in the network."""
        if not ran:
            checks.refuse_idleness()
        missing = [name for name in now.names if name not in ran]
        if missing and self.config.unused == "error":
            checks.refuse_silence(missing)
        ceilings = {layer.name: layer.ceiling for layer in self.group.in_order(ran + missing)}
        checks.say(self.group.said, checks.out_of_reach(ceilings, self.config))
        return reorder(now, ran + missing)

    def become(self, new: ControllerState, rewrite: bool = False) -> None:
        """Take over a state, and write its scales if they differ, or in any case: all of it, or after an error nothing."""
        if rewrite or new.scale is not self.state.scale:
            try:
                self._write(new)
            except BaseException:
                self.rewrite()
                raise
        self.state = new
        self.group.layers = self.group.in_order(new.names)

    def rewrite(self) -> None:
        """Write the present scales once more, after the model's attributes were put back."""
        self._write(self.state)

    def _write(self, new: ControllerState) -> None:
        """Equation (6) for every layer; numbers come from one device-to-host copy for the whole model."""
        layers, held = self.group.in_order(new.names), new.held
        numbers = [] if held is None else [held[name] for name in new.names]
        if held is None and any(layer.threshold.host for layer in layers):
            numbers = new.scale.tolist()
        for i, (layer, factor) in enumerate(zip(layers, new.scale.unbind(), strict=True)):
            # a scale held at 1 leaves the layer alone: bit-exact for learnable thresholds too
            neutral = held is not None and numbers[i] == 1.0
            layer.threshold.write(layer.module, None if neutral else numbers[i] if layer.threshold.host else factor)

    def sense_when_due(self) -> None:
        """Have the next forwards sensed, or not, as the interval says."""
        self.group.sensing = self.state.steps % self.config.interval == 0

    def take(self, new: ControllerState, sums: Sums, arrivals: Sequence[str]) -> None:
        """Go on from a state, from what was sensed beside it and from the layers that ran."""
        self.become(new, rewrite=True)
        self.group.take(sums, arrivals)
        self.sense_when_due()
