"""The controller: its state, the fast loop (`step`) and the slow loop (`epoch`)."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from . import distributed, functional, sensing, slow_loop
from .adapt import Adaptation, adapting
from .calibrate import calibrate
from .config import Config
from .errors import AttachError, ConfigError, SensingError
from .layer import Layer
from .state import load_state, save_state


class Homeostat:
    """Keeps the firing rate of each spiking layer of one model in a productive band. Built by `ahsar.attach`.

    Attributes:
        model: the attached model.
        config: the constants.
        layers: the regulated layers, by definition until the first update, in forward order from then on.
        gain: G of equation (9), a number.
        history: one record per epoch: metric, energy, progress, gain, rates and scales.
        steps: optimiser steps seen. epochs: epochs closed.
    """

    def __init__(self, model: nn.Module, config: Config, layers: list[Layer]):
        self.model, self.config, self.layers = model, config, layers
        self.gain, self.steps, self.epochs = 1.0, 0, 0
        self.metric_mean, self.metric_variance, self.metric_weight = 0.0, 0.0, 0.0
        self.history: list[dict[str, Any]] = []
        self.sensing = True
        self.senses_eval = False  # whether forwards in eval mode are sensed too: within `adapting` only
        self.attached = True
        self.compiled = False  # whether any forward that senses was traced by torch.compile
        self._paused = False
        self.updated = False
        self.met = False  # whether the ranks were compared
        self.arrivals: list[Layer] = []  # layers that ran, in the order of their first forward
        self.held: dict[str, float] | None = None
        self._warned: set[str] = set()
        self.counts: tuple[list[int], Tensor] | None = None
        self._optimizer_handle: RemovableHandle | None = None
        # on the CPU while the model is on the meta device: state must not be lost
        device = next((t.device for t in nn.Module.parameters(model) if not t.is_meta), torch.device("cpu"))
        zeros = torch.zeros(len(layers), device=device)
        # h, r̄, its weight, n and s of the equations: float32 vectors [L], whatever the model's dtype
        self.state, self.average, self.weight, self.sizes = zeros, zeros, zeros, zeros
        self.bad_updates = zeros  # updates of this epoch whose rate was NaN or infinite
        self.scale = torch.ones_like(zeros)

    # ---------------------------------------------------------------- what a user reads

    @property
    def rates(self) -> dict[str, float]:
        """Smoothed rate of each layer in [0, 1], NaN before the first update. Copies from the device."""
        heard = torch.where(self.weight > 0, self.average, torch.nan)
        return dict(zip(self.names(), heard.tolist(), strict=True))

    @property
    def scales(self) -> dict[str, float]:
        """The factor on each layer's threshold, > 0. Copies from the device."""
        return dict(zip(self.names(), self.scale.tolist(), strict=True))

    @property
    def bad(self) -> dict[str, float]:
        """Updates of this epoch in which a layer's rate was NaN or infinite. Copies from the device."""
        return dict(zip(self.names(), self.bad_updates.tolist(), strict=True))

    @property
    def set_point(self) -> float:
        """The rate that layers are led to now: r* G with centre="set-point", r* otherwise."""
        return self.config.set_point * (self.gain if self.config.centre == "set-point" else 1.0)

    def names(self) -> list[str]:
        """Qualified names of the layers, in the order of `layers`."""
        return [layer.name for layer in self.layers]

    # ---------------------------------------------------------------- the fast loop

    def step(self) -> None:
        """One step of the fast loop, equations (1) to (6); an attached optimizer calls it after each of its own steps.

        Call it between backward and the next forward, never inside a sequence: thresholds change here.

        Raises:
            SensingError: no spiking layer ran in training mode since the last update, or one has never run.
            AttachError: the controller was detached or baked.
        """
        self._require_attached("step()")
        if self._paused:
            return
        if self.steps % self.config.interval == 0:
            self.update(self.config)
        self.steps += 1
        self.sensing = self.steps % self.config.interval == 0

    @torch.no_grad()
    def update(self, config: Config) -> None:
        """Equations (1) to (6) with the constants of `config`: the controller's own, or calibration's."""
        ran = sensing.meet(self)
        if not self.updated:
            sensing.sort_layers(self, ran)
        spikes, counts = sensing.collect(self)
        # a copy that keeps the last size seen: layers may miss updates
        self.sizes = torch.where(counts > 0, counts, self.sizes)
        self.bad_updates = self.bad_updates + ~(spikes.abs() < math.inf)
        rates = functional.rate(spikes, counts)
        self.average, self.weight = functional.smooth(self.average, self.weight, rates, config.beta)
        self.updated = True
        if self.held is None:
            known = self.weight > 0
            if config.centre == "network":
                deviation = functional.centre_on_network(self.average, known, config.limit)
            else:
                deviation = functional.centre_on_set_point(self.average, self.set_point, config.limit)
            deviation = torch.where(known, deviation, 0.0)
            self.state = functional.react_and_diffuse(self.state, deviation, config.leak, config.reaction, config.diffusion)
            self._write()

    def _write(self) -> None:
        """Equations (5) and (6): give every layer the scale of its state."""
        scale = functional.bound(self.state, self.config.reach)
        self._give(scale / self.gain if self.config.centre == "network" else scale)

    def _give(self, scale: Tensor) -> None:
        """Write one scale per layer; floats come from one device-to-host copy for the whole model."""
        self.scale = scale
        numbers = scale.tolist() if any(layer.threshold.host for layer in self.layers) else ()
        for i, (layer, factor) in enumerate(zip(self.layers, scale.unbind(), strict=True)):
            layer.threshold.write(layer.module, numbers[i] if layer.threshold.host else factor)  # type: ignore[arg-type]

    def arrived(self, layer: Layer) -> None:
        """A layer ran for the first time."""
        self.arrivals.append(layer)

    # ---------------------------------------------------------------- the slow loop

    def epoch(self, metric: float, higher_is_better: bool = True) -> None:
        """Close an epoch: equations (7) to (9) move the gain by validation progress and activity energy.

        Args:
            metric: a validation metric of this epoch, finite. Never the test metric.
            higher_is_better: False for a loss.

        Raises:
            ConfigError: the metric is NaN or infinite, on any rank; nothing has changed.
            SensingError: no step was taken yet.
        """
        self._require_attached("epoch()")
        value = float(metric)
        if not self.updated:
            raise SensingError("epoch() before the first step(): no rates are known yet; train, then close the epoch")
        # first the mean: NaN on one rank must stop them all, not leave the others waiting
        value = distributed.mean(value if higher_is_better else -value, self.state.device)
        if not math.isfinite(value):
            raise ConfigError(f"epoch({float(metric)}): the validation metric must be finite; did training diverge?")
        slow_loop.close(self, float(metric), value)

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
        `tolerance` of the set-point. Parameters, batch-norm statistics, neuron states, random generators and training flags
        are afterwards as before: only the scales differ.

        Args:
            batches: inputs of the model; kept in memory, a handful is enough.
            forward: runs the model on one batch; default `model(batch)`. Give your time loop here.
            updates: at most so many updates.
            tolerance: largest relative distance of a rate from its target, in (0, 1).

        Returns:
            The updates done. A warning names the layers that did not arrive.
        """
        self._require_attached("calibrate()")
        return calibrate(self, list(batches), self.model if forward is None else forward, updates, tolerance)

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
            config: the constants within; default: the controller's own with beta = 0 and interval = 1, as the rates of
                training say nothing of the batch at hand.
            keep: go on with the adapted scales after the context.

        Raises:
            AttachError: on entering, if it is detached or paused, scales are held, or such a context is open already.
        """
        self._require_attached("adapting()")
        return adapting(self, config, keep)

    # ---------------------------------------------------------------- holding, pausing, ending

    def hold(self, scales: float | Mapping[str, float]) -> None:
        """Fix the scales by hand; rates are sensed on, thresholds stay until `release`.

        Args:
            scales: one factor for all layers, or one per layer name (others keep theirs); finite and > 0.
        """
        self._require_attached("hold()")
        names = self.names()
        wanted = dict.fromkeys(names, scales) if isinstance(scales, (int, float)) else dict(scales)
        for name, value in wanted.items():
            if name not in names:
                raise ConfigError(f"hold(): no layer {name!r}; the layers are {', '.join(names)}")
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"hold(): scale {value!r} of layer {name!r} must be finite and > 0")
        now = self.scales
        self.held = {name: float(wanted.get(name, now[name])) for name in names}
        self._give_held()

    def rewrite(self) -> None:
        """Write the present scales once more, after the model's attributes were put back."""
        if self.held is None:
            self._give(self.scale)
        else:
            self._give_held()

    def _give_held(self) -> None:
        assert self.held is not None
        numbers = [self.held[layer.name] for layer in self.layers]
        self.scale = self.scale.new_tensor(numbers)
        for layer, number, factor in zip(self.layers, numbers, self.scale.unbind(), strict=True):
            # a scale known to be 1 leaves the layer alone: bit-exact for learnable thresholds too
            own = number if layer.threshold.host else factor
            layer.threshold.write(layer.module, None if number == 1.0 else own)  # type: ignore[arg-type]

    def release(self) -> None:
        """Give the scales back to the controller."""
        self._require_attached("release()")
        self.held = None
        self._write()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within it nothing is sensed and `step` does nothing; scales stay applied."""
        before, sensing = self._paused, self.sensing
        self._paused, self.sensing = True, False
        try:
            yield
        finally:
            self._paused, self.sensing = before, sensing

    def detach(self) -> None:
        """Leave the model exactly as it was before `attach`. A second call does nothing."""
        if self.attached:
            for layer in self.layers:
                layer.threshold.restore(layer.module)
            self._unhook()

    def bake(self) -> None:
        """Write the scaled thresholds into the model for good and detach: it runs, saves and exports without ahsar."""
        self._require_attached("bake()")
        shared = [layer.threshold.shared(layer.module, self.model) for layer in self.layers]
        for layer, is_shared in zip(self.layers, shared, strict=True):
            layer.threshold.bake(layer.module, is_shared)
        self._unhook()

    def _unhook(self) -> None:
        for layer in self.layers:
            layer.unhook()
        if self._optimizer_handle is not None:
            self._optimizer_handle.remove()
            self._optimizer_handle = None
        self.attached = False

    def warn(self, messages: dict[str, str]) -> None:
        """Say each thing once per layer."""
        for key, message in messages.items():
            if key not in self._warned:
                self._warned.add(key)
                warnings.warn(message, UserWarning, stacklevel=3)

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Take a step of the fast loop after every step of `optimizer`, and of no other."""
        if self._optimizer_handle is not None:
            self._optimizer_handle.remove()
        # Accelerate, Fabric and Lightning wrap optimizers; the step that counts, and may be left out, is the inner one's
        while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
            optimizer = inner
        self._optimizer_handle = optimizer.register_step_post_hook(lambda *_: self.step())

    def _require_attached(self, call: str) -> None:
        if not self.attached:
            raise AttachError(f"{call} after detach() or bake(): attach the model again")

    def __enter__(self) -> "Homeostat":
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    # ---------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """All state, keyed by layer name; tensors, numbers and strings only, so `torch.load(weights_only=True)` reads it."""
        return save_state(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`; raises `StateError`, and changes nothing, if it is of another model."""
        self._require_attached("load_state_dict()")
        load_state(self, state)

    def __getstate__(self) -> dict[str, Any]:
        # a copy of the model has a controller of its own, which no optimizer steps
        return {**self.__dict__, "_optimizer_handle": None}
