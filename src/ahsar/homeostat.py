"""What a user has of an attached model: both loops, the scales and rates, holding and ending."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import checks, controller, tables, view, warned
from .adapt import Adaptation, adapting
from .calibrate import calibrate
from .config import Config
from .controller import Scales
from .doubts import doubts
from .errors import AttachError, ConfigError
from .following import Following, innermost
from .layer import Group, Layer
from .mirror import copied, follow
from .regulator import Regulator
from .state import ControllerState

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Homeostat:
    """Keeps the firing rate of each spiking layer of one model in a productive band. Built by `ahsar.attach`.

    Attributes:
        model: the attached model.
        attached: False after `detach` or `bake`.

    Examples:
        >>> model = nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(3, 2))
        >>> with ahsar.attach(model) as homeostat:
        ...     _ = model(torch.zeros(5, 2))
        ...     homeostat.step()
        ...     homeostat.rates
        {'1': 0.0}
    """

    model: nn.Module
    attached: bool

    def __init__(self, model: nn.Module, config: Config, group: Group, scales: Scales = controller.scales):
        # on the CPU while the model is on the meta device: state must not be lost
        device = next((t.device for t in nn.Module.parameters(model) if not t.is_meta), torch.device("cpu"))
        self.model, self.attached = model, True
        self._regulator = Regulator(group, config, device, scales)
        self._following: Following | None = None
        group.pace.model = model
        group.homeostat = self
        group.peers.begin(self._regulator.step)

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

    def readings(self) -> dict[str, float]:
        """What a logger writes: `rate/LAYER`, `scale/LAYER` and `gain`, flat, as for `wandb.log`. Copies from the device."""
        values = {f"rate/{name}": rate for name, rate in self.rates.items()}
        values |= {f"scale/{name}": scale for name, scale in self.scales.items()}
        return {**values, "gain": self.gain}

    def plot(self) -> "Figure":
        """Rates and scales of each layer over the epochs of `history`, as a Matplotlib figure: `plot().savefig("rates.png")`.

        Raises:
            SensingError: no epoch was closed yet.
            ModuleNotFoundError: Matplotlib is not installed.
        """
        return view.plot(self.history, self.config)

    def step(self) -> None:
        """One step of the fast loop, equations (1) to (6); an attached optimizer calls it after each of its own steps.

        Call it between backward and the next forward, never inside a sequence: thresholds change here.

        Raises:
            SensingError: no spiking layer ran in training mode since the last update, or one has never run.
            AttachError: the controller was detached or baked.
        """
        self._require_attached("step()")
        if not self._regulator.group.in_eval:
            self._regulator.group.pace.step()
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
        group = self._regulator.group
        warned.say(group.said, checks.silent(self.state, self.model))
        if group.pace.epoch(any(layer.sum.tally is not None for layer in group.layers)):
            warned.say(group.said, checks.no_steps("an epoch of training was closed", group.pace.follows))

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
        `tolerance` of the set-point; healthy layers are led there as well. Parameters, batch-norm statistics, neuron states
        and training flags are afterwards as before, and so are the random generators of Python, NumPy and torch: only the
        scales differ, and training has the whole of its grace before it. States are found in buffers and attributes of
        modules, in lists, tuples, dictionaries, sets and deques too, but not within objects of other classes.

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
            ConfigError: on entering, `config` is no Config.
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
        self._regulator.sense_when_due()

    def release(self) -> None:
        """Give the scales back to the controller."""
        self._require_attached("release()")
        self._regulator.become(controller.release(self.state, self.config, self._regulator.scales))
        self._regulator.sense_when_due()

    def paused(self) -> AbstractContextManager[None]:
        """Within it nothing is sensed and `step` does nothing; scales stay applied."""
        return self._regulator.pausing()

    def mirror(self, copy: nn.Module) -> "Homeostat":
        """Keep a copy of the model at this model's scales from now on: averaged weights, a target network, a teacher.

        The copy controls nothing itself: it is not sensed, and its own `step` does nothing. Weights go from one to the other as
        you have it; the scales follow with each update here, until either of the two is detached or baked.

        Args:
            copy: a deep copy, or another model with layers of the same names; in a wrapper (`AveragedModel`,
                `DistributedDataParallel`) or not. Attached, as deep copies of an attached model are, or not yet.

        Returns:
            The copy's own controller, to `bake()` or `detach()` it by.

        Raises:
            AttachError: it is no copy of this model, is compiled already, or this model follows it. Nothing has changed.

        Examples:
            >>> model = nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9))
            >>> homeostat = ahsar.attach(model)
            >>> target = homeostat.mirror(copy.deepcopy(model))
            >>> homeostat.hold(0.5)
            >>> target.scales
            {'1': 0.5}
        """
        self._require_attached("mirror()")
        group = copied(copy, self._regulator.group)
        if (twin := group.homeostat) is None:
            twin = Homeostat(copy, self.config, group, self._regulator.scales)
            try:
                for layer in group.layers:
                    layer.hook()
            except BaseException:
                twin.detach()
                raise
        follow(self._regulator, twin._regulator)
        return twin

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

    def follow(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Take a step of the fast loop after every step of `optimizer`, and of no other.

        Args:
            optimizer: a new one, for the next phase of training, or a wrapper of one (SAM, Lookahead, Accelerate, ...): the
                optimizer within is what is followed. None: you call `step()`.

        Raises:
            AttachError: it is no optimizer, or trains another model that is built alike; or the controller was detached or
                baked. Nothing has changed.
        """
        self._require_attached("follow()")
        if optimizer is not None:
            warned.say(self._regulator.group.said, doubts(innermost(optimizer), self.model))
        if self._following is not None:
            self._following.end()
        self._following = None if optimizer is None else Following(optimizer, self.step)
        pace = self._regulator.group.pace
        pace.follows = self._following and self._following.name
        pace.restart()

    def _require_attached(self, call: str) -> None:
        if not self.attached:
            raise AttachError(f"{call} after detach() or bake(): attach the model again")

    def __enter__(self) -> "Homeostat":
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def __repr__(self) -> str:
        """How each layer stands, as a table. Copies from the device."""
        group = self._regulator.group
        lines = [self._caption(), tables.text_table(view.HEADER, view.rows(group, self.state, self.config))]
        return "\n".join([*lines, *view.notes(group)])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        group = self._regulator.group
        return tables.html_table(view.HEADER, view.rows(group, self.state, self.config), self._caption(), view.notes(group))

    def _caption(self) -> str:
        return view.caption(self._regulator.group, self.state, self.attached, self._regulator.paused)

    def state_dict(self) -> dict[str, Any]:
        """All state, keyed by layer name; tensors, numbers and strings only, so `torch.load(weights_only=True)` reads it."""
        return self._regulator.save()

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`, which `state_dict()` gave.

        Raises:
            StateError: it is of another model, or damaged. Nothing has changed.
            AttachError: the controller was detached or baked.
        """
        self._require_attached("load_state_dict()")
        self._regulator.load(saved)

    def __getstate__(self) -> dict[str, Any]:
        # a copy of the model has a controller of its own, which no optimizer steps
        return {**self.__dict__, "_following": None}
