"""The loop from layers to thresholds: read what was sensed, ask `controller` for the next state, write its scales."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from . import checks, controller, distributed, travel, warned
from .answers import ANSWER
from .config import Config
from .controller import Scales
from .errors import ConfigError, SensingError, StateError
from .glance import NO_SPIKES
from .later import Later
from .layer import Group
from .spikes import look, shares
from .state import ControllerState, Sums, each, from_dict, initial, keep, reorder, to_dict

_LARGEST = 1e150  # of metrics: their squares are numbers too


class Regulator:
    """Holds the state of one controller, and is the only one who replaces it.

    Attributes:
        group: the hooked layers.
        config: the constants in force.
        state: all that is known of the layers and the epochs.
        paused: whether steps are left out.
        mirrors: called with each state whose scales were written; they pass them on to copies of the model.
    """

    group: Group
    config: Config
    state: ControllerState
    scales: Scales
    paused: bool

    def __init__(self, group: Group, config: Config, device: torch.device, scales: Scales):
        self.group, self.config, self.scales = group, config, scales
        group.receive = self.receive
        self.state = initial([layer.name for layer in group.layers], device)
        self.paused = False
        self.mirrors: list[Any] = []
        self._counts: tuple[list[int], Tensor] | None = None
        self._rests = Later(controller.at_rest(self.state))  # as of the last update
        self._met = False  # whether the ranks were compared

    def step(self) -> None:
        """An update where one is due, and the count of a step; nothing while paused."""
        self.group.peers.turn()
        if self.paused:
            return
        if self.state.steps % self.state.spacing == 0:
            self.update(self.config)
            self._space()
        self.state = replace(self.state, steps=self.state.steps + 1)
        self.sense_when_due()

    @torch.no_grad()
    def update(self, config: Config) -> None:
        """Equations (1) to (6) with the constants of `config`: the controller's own, or calibration's."""
        now, (ran, answers, mute) = self.state, self._ran()
        if not now.updated:
            now = self._in_forward_order(now, ran, answers, mute)
        elif mute:
            now = self._without(now, set(), mute)
        # where only layers are left that never ran, as those that did are the answer, there is nothing to miss
        if self.group.arrivals and self.group.idle() and not self.group.peers.active():
            checks.refuse_idleness()
        place = next((one.device for layer in self.group.layers for one in layer.sum.tensors()), now.device)
        if place != now.device:
            now = each(now, lambda vector: vector.to(place))
        spikes, counts = self._gather(now)
        if self.group.peers.active():
            spikes, counts = distributed.total(spikes, counts, self.group.peers.group)
        self.become(controller.update(now, shares(spikes, counts), counts, config, self.scales))
        self.group.forget()

    def _space(self) -> None:
        """Sense seldom once all layers rest. What the update before last came to is asked, so no update is waited for."""
        config, rests = self.config, self._rests
        self._rests = Later(controller.at_rest(self.state))
        spacing = max(config.interval, config.resting_interval if rests.value() else 1)
        self.state = replace(self.state, spacing=spacing)

    def _gather(self, now: ControllerState) -> tuple[Tensor, Tensor]:
        """Spikes and outputs since the last update, [L] each, where the state is. Nothing is copied from the device."""
        sums, zero = [layer.sum for layer in self.group.in_order(now.names)], now.scale.new_zeros(())
        spikes = torch.stack([zero if one.spikes is None else one.spikes.to(now.device) for one in sums])
        counts = [one.count for one in sums]
        if self._counts is None or self._counts[0] != counts or self._counts[1].device != now.device:
            # copied to the device only when batch sizes change
            self._counts = counts, torch.tensor(counts, dtype=torch.float32, device="cpu").to(now.device, non_blocking=True)
        outputs = self._counts[1]
        if any(one.tally is not None for one in sums):
            tallies = [one.tally or (zero, zero) for one in sums]
            spikes = spikes + torch.stack([tally[0].to(now.device) for tally in tallies])
            outputs = outputs + torch.stack([tally[1].to(now.device, torch.float32) for tally in tallies])
        return spikes, outputs

    def close_epoch(self, metric: float, higher_is_better: bool, learning_rate: float | None) -> None:
        """Equations (7) to (9); see `Homeostat.epoch`."""
        now = self.state
        if not now.updated:
            raise SensingError(
                "epoch() before the first step(): no rates are known yet; train, then close the epoch. If the model was "
                "trained, say homeostat.follow(optimizer), or call homeostat.step() after each update of the weights"
            )
        # first the mean: NaN on one rank must stop them all, not leave the others waiting
        value = self._mean(metric if higher_is_better else -metric)
        if not abs(value) < _LARGEST:
            raise ConfigError(f"epoch({metric}): the validation metric must be finite; did training diverge?")
        energy = self._mean(controller.energy(now))
        self.become(controller.close_epoch(now, metric, value, energy, self.config, self.scales, learning_rate))
        warned.say(self.group.said, {**checks.not_finite(now), **checks.off_the_band(self.state, self.config)})

    def _mean(self, value: float) -> float:
        """Over the ranks; `value` itself in one process."""
        peers = self.group.peers
        return distributed.mean(value, self.state.device, peers.group) if peers.active() else value

    def _ran(self) -> tuple[list[str], set[str] | None, set[str]]:
        """Names of the layers that ran, of those whose spikes are the answer (None: untold), and of those that give none, here
        or on any rank.

        The first update also compares the ranks.
        """
        now = self.state
        if not now.updated:
            self.group.recall()
        # only the first update asks for answers
        ran, answers = list(self.group.arrivals), None if now.updated else self.group.answers.layers()
        mute = look({layer.name: layer.sum for layer in self.group.layers})
        peers = self.group.peers
        peers.settle()
        if not peers.active():
            return ran, answers, mute
        if self._met and now.updated:
            return ran, answers, set()  # what one rank saw late the others do not know
        known = {name: getattr(now, name) for name in ("steps", "epochs", "gain", "updated", "held")}
        known["scales"] = now.scale.tolist()
        together = distributed.agree(ran, list(now.names), self.config.to_dict(), known, answers, mute, peers.group)
        self._met = True
        return together

    def _in_forward_order(
        self, now: ControllerState, ran: list[str], answers: set[str] | None, mute: set[str]
    ) -> ControllerState:
        """Layers in the order in which they ran: neighbours in equation (4) are neighbours in the network."""
        if not ran:
            checks.refuse_idleness()
        missing = [name for name in now.names if name not in ran]
        if missing and self.config.unused == "error":
            checks.refuse_unused(missing)
        self.group.answers.remove()
        now = self._without(now, answers, mute)
        ran, missing = ([name for name in names if name in now.names] for names in (ran, missing))
        ceilings = {layer.name: layer.ceiling for layer in self.group.in_order(ran + missing)}
        warned.say(self.group.said, {**checks.unused(missing), **checks.out_of_reach(ceilings, self.config)})
        return reorder(now, ran + missing)

    def _without(self, now: ControllerState, answers: set[str] | None, mute: set[str]) -> ControllerState:
        """Leave the layers alone whose spikes are the model's answer, as a rate that carries it is not to be regulated, and
        those that give no spikes, or are not meant to.
        """
        if answers is None:
            warned.say(self.group.said, checks.answers_untold())
        never = {name: reason for name, reason in self.group.too_high.items() if name in now.names}
        reasons = dict.fromkeys(sorted(mute), NO_SPIKES) | never | dict.fromkeys(sorted(answers or ()), ANSWER)
        warned.say(self.group.said, checks.no_spikes([name for name in reasons if reasons[name] == NO_SPIKES]))
        warned.say(self.group.said, checks.too_high({name: why for name, why in never.items() if reasons[name] == why}))
        if set(now.names) <= reasons.keys():
            warned.say(self.group.said, checks.nothing_left({name: reasons[name] for name in now.names}))
            return controller.hold(now, 1.0)
        if reasons:
            self._leave_alone(reasons)
        return self.state

    def _leave_alone(self, reasons: Mapping[str, str]) -> None:
        """Let go of layers: they have their own thresholds again, and no state."""
        self.group.leave_alone(reasons)
        self.state = self._of_present(self.state)

    def _of_present(self, state: ControllerState) -> ControllerState:
        """The state without layers that were left alone since."""
        return keep(state, [name for name in state.names if name not in self.group.left_alone])

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
            layer.scale = numbers[i] if neutral or layer.threshold.host else factor
            layer.threshold.write(layer.module, None if neutral else layer.scale)
        for mirror in self.mirrors:
            mirror(new)

    def sense_when_due(self) -> None:
        """Have the next forwards sensed, or not, as the interval says; none while paused."""
        self.group.sensing = not self.paused and self.state.steps % self.state.spacing == 0
        self.group.pace.quiet = self.paused or self.state.held is not None
        self.group.peers.pause(self.paused)

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Within it nothing is sensed, and steps are left out."""
        before, self.paused = self.paused, True
        self.sense_when_due()
        try:
            yield
        finally:
            self.paused = before
            self.sense_when_due()

    def save(self) -> dict[str, Any]:
        """The state, and what was sensed since the last update."""
        saved = to_dict(self.state, self.config, self.group.sums(), self.group.arrivals)
        return {**saved, "left_alone": dict(self.group.left_alone)}

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from what `save` gave; raises `StateError`, and changes nothing, if it is of another model."""
        left_alone = saved.get("left_alone", {}) if isinstance(saved, dict) else {}
        if not isinstance(left_alone, dict) or not all(isinstance(reason, str) for reason in left_alone.values()):
            raise StateError(f"the state is damaged (left_alone = {left_alone!r}): was it saved by state_dict()?")
        news = {name: reason for name, reason in left_alone.items() if name in self.state.names}
        new, sums = from_dict(saved, [name for name in self.state.names if name not in news], self.state.device)
        if Config.from_dict(saved["config"]) != self.config:
            warned.warn("the state was saved with another Config; the one given to attach stays in force")
        if new.updated:
            self.group.answers.remove()
        self._leave_alone(news)
        self.take(new, sums, saved["arrivals"])

    def receive(self, name: str, scale: float | None) -> None:
        """Have a layer at the scale that its weights were saved at; None: they were loaded without one."""
        now = self.state.by_name(self.state.scale)[name]
        if scale is None:
            warned.say(self.group.said, travel.without_scales(name, now) if now != 1.0 else {})
        elif scale != now and self.state.held is not None:
            warned.say(self.group.said, travel.held(name, scale, now))
        elif scale != now:  # else all is as it is, whatever was loaded first: the controller's state knows more
            with torch.inference_mode(False):
                self.become(travel.settled(self.state, name, scale))

    def take(self, new: ControllerState, sums: Sums, arrivals: Sequence[str]) -> None:
        """Go on from a state, from what was sensed beside it and from the layers that ran."""
        self.become(self._of_present(new), rewrite=True)
        self._rests = Later(controller.at_rest(self.state))
        self.group.take(sums, [name for name in arrivals if name in self.state.names])
        self.sense_when_due()

    def __getstate__(self) -> dict[str, Any]:
        # a copy of the model has no copies to look after
        return {**self.__dict__, "mirrors": []}
