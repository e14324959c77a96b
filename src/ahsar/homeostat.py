"""What a user has of an attached model: both loops, the scales and rates, holding and ending."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from . import checks, controller
from .adapt import Adaptation, adapting
from .calibrate import calibrate
from .config import Config
from .controller import Scales
from .errors import AttachError, ConfigError
from .following import Following
from .layer import Group, Layer
from .regulator import Regulator
from .state import ControllerState


class Homeostat:
    """Keeps the firing rate of each spiking layer of one model in a productive band. Built by `ahsar.attach`.

    Attributes:
        model: the attached model.
        attached: False after `detach` or `bake`.

    >>> model = nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(3, 2))
    >>> with ahsar.attach(model) as homeostat:
    ...     _ = model(torch.zeros(5, 2))
    ...     homeostat.step()
    ...     homeostat.rates
    {'1': 0.0}
    """

    def __init__(self, model: nn.Module, config: Config, group: Group, scales: Scales = controller.scales):
        # on the CPU while the model is on the meta device: state must not be lost
        device = next((t.device for t in nn.Module.parameters(model) if not t.is_meta), torch.device("cpu"))
        self.model, self.attached = model, True
        self._regulator = Regulator(group, config, device, scales)
        self._following: Following | None = None
        group.homeostat = self

    @property
    def config(self) -> Config:
        """The constants in force."""
        return self._regulator.config

    @property
    def layers(self) -> list[Layer]:
        """The regulated layers, by definition until the first update, in forward order from then on."""
        return self._regulator.group.layers

    @property
    def left_alone(self) -> dict[str, str]:
        """Layers that are not regulated although no one said so, each with the reason: complete after the first update."""
        return dict(self._regulator.group.left_alone)

    @property
    def state(self) -> ControllerState:
        """All that is known of the layers and the epochs; the properties below read from it."""
        return self._regulator.state

    @property
    def rates(self) -> dict[str, float]:
        """Smoothed rate of each layer in [0, 1], NaN before the first update. Copies from the device."""
        return self.state.rates()

    @property
    def scales(self) -> dict[str, float]:
        """The factor on each layer's threshold, > 0. Copies from the device."""
        return self.state.by_name(self.state.scale)

    @property
    def set_points(self) -> dict[str, float]:
        """The rate that each layer is led to from below, in (0, 1). Copies from the device."""
        return self.state.by_name(controller.set_point(self.state, self.config))

    @property
    def resting(self) -> dict[str, bool]:
        """Whether each layer rests: it has arrived, or given up, and its scale does not move. Copies from the device."""
        return {name: led == math.inf for name, led in self.state.by_name(self.state.led).items()}

    @property
    def gain(self) -> float:
        """G of equation (9), ≥ 1: the factor on all thresholds by which the slow loop saves spikes."""
        return self.state.gain

    @property
    def steps(self) -> int:
        """Optimiser steps seen."""
        return self.state.steps

    @property
    def epochs(self) -> int:
        """Epochs closed."""
        return self.state.epochs

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch: metric, energy, progress, gain, rates and scales."""
        return list(self.state.history)

    def step(self) -> None:
        """One step of the fast loop, equations (1) to (6); an attached optimizer calls it after each of its own steps.

        Call it between backward and the next forward, never inside a sequence: thresholds change here.

        Raises:
            SensingError: no spiking layer ran in training mode since the last update, or one has never run.
            AttachError: the controller was detached or baked.
        """
        self._require_attached("step()")
        self._regulator.step()

    def epoch(self, metric: float, higher_is_better: bool = True) -> None:
        """Close an epoch: equations (7) to (9), which move the gain with `Config(frugal=True)` alone.

        Args:
            metric: a validation metric of this epoch, finite. Never the test metric.
            higher_is_better: False for a loss.

        Raises:
            ConfigError: the metric is no number, or NaN or infinite, on any rank; nothing has changed.
            SensingError: no step was taken yet.
        """
        self._require_attached("epoch()")
        try:
            value = float(metric)
        except (OverflowError, TypeError, ValueError) as error:
            raise ConfigError(f"epoch({metric!r}): the validation metric must be a number ({error})") from error
        self._regulator.close_epoch(value, higher_is_better, self._following and self._following.learning_rate())
        checks.say(self._regulator.group.said, checks.silent(self.state, self.model))

    def calibrate(
        self,
        batches: Iterable[Any],
        forward: Callable[[Any], Any] | None = None,
        *,
        updates: int = 100,
        tolerance: float = 0.1,
    ) -> int:
        """Bring the layers to the set-point before the first step, without gradients.

        Runs training-mode forwards over the batches, again and again, with an update after each, until every layer is within
        `tolerance` of the set-point; healthy layers are led there as well. Parameters, batch-norm statistics, neuron states,
        random generators and training flags are afterwards as before: only the scales differ, and training has the whole of
        its grace before it.

        Args:
            batches: inputs of the model; kept in memory, a handful is enough.
            forward: runs the model on one batch; default `model(batch)`. Give your time loop here.
            updates: at most so many updates.
            tolerance: largest relative distance of a rate from its target, in (0, 1).

        Returns:
            The updates done. A warning names the layers that did not arrive.
        """
        self._require_attached("calibrate()")
        run = self.model if forward is None else forward
        return calibrate(self._regulator, self.model, list(batches), run, updates, tolerance)

    def adapting(self, config: Config | None = None, *, keep: bool = False) -> AbstractContextManager[Adaptation]:
        """A context in which the scales follow unlabelled test batches: eval-mode forwards are sensed, `step` updates.

        Training flags, parameters and batch-norm statistics are left alone, and no gradients are needed. On leaving, the
        scales and the controller's state are exactly as they were on entering.

            with homeostat.adapting() as adaptation:
                for x in batches:
                    for _ in range(10):
                        model(x)
                        homeostat.step()
                    with homeostat.paused():
                        scores = model(x)
                    adaptation.reset()  # episodic: every batch starts from the learned scales; without it, continual

        Args:
            config: the constants within; default: each layer is led on to the rate that it had at the end of training.
            keep: go on with the adapted scales after the context.

        Raises:
            AttachError: on entering, if it is detached or paused, scales are held, or such a context is open already.
        """
        self._require_attached("adapting()")
        return adapting(self._regulator, config, keep)

    def hold(self, scales: float | Mapping[str, float]) -> None:
        """Fix the scales by hand; rates are sensed on, thresholds stay until `release`.

        Args:
            scales: one factor for all layers, or one per layer name (others keep theirs); finite and > 0.
        """
        self._require_attached("hold()")
        self._regulator.become(controller.hold(self.state, scales))

    def release(self) -> None:
        """Give the scales back to the controller."""
        self._require_attached("release()")
        self._regulator.become(controller.release(self.state, self.config, self._regulator.scales))

    def paused(self) -> AbstractContextManager[None]:
        """Within it nothing is sensed and `step` does nothing; scales stay applied."""
        return self._regulator.pausing()

    def detach(self) -> None:
        """Leave the model exactly as it was before `attach`. A second call does nothing."""
        if self.attached:
            self._unhook(restore=True)

    def bake(self) -> None:
        """Write the scaled thresholds into the model for good and detach: it runs, saves and exports without ahsar."""
        self._require_attached("bake()")
        self._regulator.group.bake(self.model)
        self._unhook(restore=False)

    def _unhook(self, restore: bool) -> None:
        self._regulator.group.unhook(restore)
        if self._following is not None:
            self._following.end()
            self._following = None
        self.attached = False

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Take a step of the fast loop after every step of `optimizer`, and of no other."""
        if self._following is not None:
            self._following.end()
        self._following = Following(optimizer, self.step)

    def _require_attached(self, call: str) -> None:
        if not self.attached:
            raise AttachError(f"{call} after detach() or bake(): attach the model again")

    def __enter__(self) -> "Homeostat":
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def state_dict(self) -> dict[str, Any]:
        """All state, keyed by layer name; tensors, numbers and strings only, so `torch.load(weights_only=True)` reads it."""
        return self._regulator.save()

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict()`; raises `StateError`, and changes nothing, if it is of another model."""
        self._require_attached("load_state_dict()")
        self._regulator.load(saved)

    def __getstate__(self) -> dict[str, Any]:
        # a copy of the model has a controller of its own, which no optimizer steps
        return {**self.__dict__, "_following": None}
