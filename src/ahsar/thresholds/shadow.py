"""Thresholds that are tensors: the scaled one stands in for the original during forward."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .. import tracing
from ..errors import ExportError
from ..functional import scale_threshold
from ..modes import aside
from .attribute import find_attribute, home_of, tensor_of
from .memory import Memory, lasts
from .stand_in import Absent, StandIn
from .writer import Threshold

Scaling = Callable[[Tensor, "Tensor | float"], Tensor]


class ShadowThreshold(Threshold):
    """Puts the scaled threshold in the place of the parameter, buffer or attribute for the time of a forward.

    The tensor behind it is never written, unless forward itself moves its threshold: state_dict, pickling and aliased storage
    stay as they are, and the gradient to a learnable threshold flows through the scaling. It is put where the original is, not
    in `__dict__` before it: compiled code that was traced without the latter does not look there, and would use the original.

    Args:
        attribute: name of a parameter, buffer, plain tensor or float.
        rest: the distance of the threshold from `rest` is scaled.
        scaling: how to scale the stored tensor, if not by `scale_threshold`.
        reading: how to read a threshold from the stored tensor, if it is not the threshold itself.
    """

    attribute: str
    rest: float
    scaling: Scaling | None
    reading: Callable[[Tensor], Tensor] | None

    host = False

    def __init__(
        self,
        module: nn.Module,
        attribute: str,
        rest: float = 0.0,
        scaling: Scaling | None = None,
        reading: Callable[[Tensor], Tensor] | None = None,
    ):
        find_attribute(module, attribute)
        self.attribute, self.rest, self.scaling, self.reading = attribute, rest, scaling, reading
        self.scale: Tensor | float | None = None
        # `.to()` moves parameters and buffers, not plain attributes: these are scaled where the input is
        self.follows: bool = attribute not in module._parameters and attribute not in module._buffers
        self._depth = 0  # forwards under way; more than one where forward calls itself, or where Ctrl-C cut one short
        self._shadow: StandIn | None = None  # while there are any
        self.factor: Tensor | None = None  # the scale that compiled forwards read, once there are any: always a tensor
        self._covered: Any = None  # what a compiled forward put aside while it runs, and what it put there
        self._cover: Any = None
        self._memory = Memory()

    # ---------------------------------------------------------------- where the threshold is; `FieldThreshold` differs

    def _inside(self, behind: Any) -> Any:
        """The threshold in what the module keeps under the attribute."""
        return behind

    def _around(self, behind: Any, threshold: Any) -> Any:
        """What the module should keep under the attribute instead of `behind`, for another threshold."""
        return threshold

    def _parameters_of(self, module: nn.Module) -> Iterable[Any]:
        """What any module holds that a threshold of this kind may be."""
        return module._parameters.values()

    # ---------------------------------------------------------------- reading and writing

    def _behind(self, module: nn.Module) -> Any:
        """What the module keeps under the attribute, also while it is shadowed."""
        if self._shadow is None or not self._shadow.within(home_of(module, self.attribute)):
            return find_attribute(module, self.attribute)
        previous = self._shadow.previous
        return getattr(type(module), self.attribute) if previous is Absent else previous

    def value(self, module: nn.Module) -> Tensor:
        """The original threshold, detached; whole, where FSDP gives each rank a part."""
        stored = tensor_of(self._inside(self._behind(module))).detach()
        stored = stored.full_tensor() if hasattr(stored, "full_tensor") else stored  # type: ignore[attr-defined]
        return stored if self.reading is None else self.reading(stored)

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Use scale s from the next forward on; None stands for s = 1 and shadows nothing."""
        self.restore(module)
        self._memory.forget()
        self.scale = scale
        self.factor = None if self.factor is None else _as_factor(scale, self.factor.device)

    def _scaled(self, stored: Tensor, scale: Tensor | float) -> Tensor:
        return scale_threshold(stored, scale, self.rest) if self.scaling is None else self.scaling(stored, scale)

    def _unscaled(self, threshold: Any) -> Any:
        """The inverse of `_scaled` with the present scale; a number for a number."""
        scaled = tensor_of(threshold)
        own = self._scaled(scaled, 1.0 / _as_factor(self.scale, scaled.device))
        return own if isinstance(threshold, Tensor) else own.item()

    def effective(self, module: nn.Module, place: torch.device | None = None) -> Tensor:
        """The scaled threshold, as the module's forward sees it. A Parameter's is computed in every forward, others once.

        `place`: device of the forward's input, where a threshold without dimensions goes that `.to()` does not move.
        """
        return self._effective(self._inside(self._behind(module)), place)

    def _effective(self, source: Any, place: torch.device | None) -> Tensor:
        if (known := self._memory.recall(source, place)) is not None:
            return known
        if (scale := self.scale) is None:
            return tensor_of(source)
        if not lasts(source):
            return self._compute(source, scale, place)
        # what one forward computes and the next finds ready is no part of either
        scaled = aside(self._compute, source, scale, place)
        self._memory.keep(scaled, source)
        return scaled

    def _compute(self, source: Any, scale: Tensor | float, place: torch.device | None) -> Tensor:
        if not isinstance(scale, Tensor):
            return self._scaled(tensor_of(source), scale)
        device = place or (source if isinstance(source, Tensor) else scale).device
        stored = source.to(device) if isinstance(source, Tensor) else scale.new_full((), float(source), device=device)
        return self._scaled(stored, scale.to(device))

    # ---------------------------------------------------------------- a forward

    def begin(self, module: nn.Module, compile: bool) -> None:
        """The layer is hooked now; one that will be compiled is scaled from its first forward on."""
        if compile:  # from the first forward on: a learnable threshold that is scaled is another kind of tensor
            self.write(module, tensor_of(1.0))

    def enter(self, module: nn.Module, args: Any = ()) -> None:
        """Before forward: put the scaled threshold in the original's place; not without a scale."""
        if self.scale is not None:
            behind = self._behind(module)
            source = self._inside(behind)
            effective = self._effective(source, _place(source, args) if self.follows else None)
            value = self._around(behind, effective)
            if self._shadow is None:
                self._shadow = StandIn(self._home(module, effective), self.attribute)
            self._shadow.put(value, effective)
            self._depth += 1

    def _home(self, module: nn.Module, effective: Tensor) -> dict[str, Any]:
        """Where the scaled threshold is put. torch.fx takes what lies among buffers for what lies there when its graph runs."""
        if not tracing.by_proxies():
            return home_of(module, self.attribute)
        if effective.requires_grad:
            raise ExportError(
                f"layer {self.name!r} learns its threshold, and torch.fx would take the scaled one for a constant: bake() the "
                f"model first, {tracing.OR_A_COPY}"
            )
        return module.__dict__

    def leave(self, module: nn.Module) -> bool:
        """After forward, also when it raised."""
        if self._depth:
            self._depth -= 1
            return self._depth == 0 and self._unshadow(module)
        self.uncover(module)
        return False

    def restore(self, module: nn.Module) -> None:
        """Take away what a forward left that no hook could follow (Ctrl-C)."""
        if self._depth:
            self._depth = 0
            self._unshadow(module)
        self.uncover(module)

    def _unshadow(self, module: nn.Module) -> bool:
        """Put the original back, or what gives the threshold that forward has set; returns whether it has."""
        assert self._shadow is not None
        shadow, found, changed = self._shadow, self._shadow.found(), self._shadow.changed()
        if found is shadow.previous or (found is shadow.value and not changed):
            self._shadow = None
            shadow.end()
            return False
        source, self._shadow = self._inside(self._behind(module)), None
        inner = self._inside(found)
        if isinstance(inner, nn.Parameter):  # forwards set none: it was sharded again, or is one of another kind
            return False
        if inner is shadow.threshold and not changed:  # forward has set another field of the tuple
            shadow.leave(self._around(found, source))
            return False
        own = aside(self._unscaled, inner)  # forward has read the scaled threshold, so what it has set is scaled
        if inner is shadow.threshold and isinstance(source, Tensor) and not source.is_inference():
            with torch.no_grad():
                own = aside(source.copy_, own)
            shadow.end()
        else:
            shadow.leave(self._around(found, own))
        self._memory.keep(inner, own)
        return True

    def lift(self, module: nn.Module) -> None:
        """Let the module hold the original for a moment, if a forward is under way."""
        if self._shadow is not None:
            self._shadow.lift()

    def lower(self, module: nn.Module) -> None:
        """The end of `lift`."""
        if self._shadow is not None:
            self._shadow.lower()

    # ---------------------------------------------------------------- a compiled forward

    def prepare(self, module: nn.Module) -> None:
        """While a forward is traced: have the scale as a tensor where the threshold is."""
        stored = self._inside(self._behind(module))
        device = stored.device if isinstance(stored, Tensor) else getattr(self.scale, "device", torch.device("cpu"))
        if self.factor is None or self.factor.device != device:
            self.factor = _as_factor(self.scale, device)

    def cover(self, module: nn.Module) -> None:
        """`enter` of a compiled forward; the scaling is part of it."""
        assert self.factor is not None
        home = home_of(module, self.attribute)
        behind = self._covered = home[self.attribute]
        stored = self._inside(behind)
        if not isinstance(stored, Tensor):
            stored = self.factor.new_full((), float(stored))
        home[self.attribute] = self._cover = self._around(behind, self._scaled(stored, self.factor))

    def uncover(self, module: nn.Module) -> None:
        """`leave` of a compiled forward. What forward sets is taken as in eager code; a change in place is lost."""
        if self._covered is not None and self.factor is not None:
            home = home_of(module, self.attribute)
            found = home[self.attribute]
            if found is not self._cover:
                self._covered = self._around(found, self._scaled(self._inside(found), 1.0 / self.factor))
            home[self.attribute] = self._covered
            self._covered = self._cover = None

    @torch.no_grad()
    def bake(self, module: nn.Module, shared: bool) -> None:
        """Write the scaled threshold for good. A parameter stays the same object (optimizers hold it), unless `shared`."""
        self.restore(module)
        if self.scale is None:
            return
        self._memory.forget()  # a cached one may lie on the input's device
        behind = self._behind(module)
        source, scaled = self._inside(behind), self.effective(module).detach().clone()
        if isinstance(source, nn.Parameter) and hasattr(source, "full_tensor"):
            source.copy_(scaled)  # FSDP shards it: rebinding the data would leave the shard as it was
        elif isinstance(source, nn.Parameter) and not shared:
            source.data = scaled
        else:
            kept: Any = scaled if isinstance(source, Tensor) else scaled.item()
            kept = nn.Parameter(scaled, requires_grad=source.requires_grad) if isinstance(source, nn.Parameter) else kept
            home_of(module, self.attribute)[self.attribute] = self._around(behind, kept)
        self._memory.forget()

    def shared(self, module: nn.Module, model: nn.Module) -> bool:
        """Whether the threshold is a Parameter that another module of `model` holds, too."""
        stored = self._inside(self._behind(module))
        if not isinstance(stored, nn.Parameter):
            return False
        return sum(held is stored for other in nn.Module.modules(model) for held in self._parameters_of(other)) > 1


def _place(source: Any, args: Any) -> torch.device | None:
    stays = getattr(source, "ndim", 0) > 0  # with dimensions it is where its user put it
    return args[0].device if args and isinstance(args[0], Tensor) and not stays else None


def _as_factor(scale: Tensor | float | None, device: torch.device) -> Tensor:
    if isinstance(scale, Tensor):
        return scale.to(device)
    with torch.inference_mode(False):
        return torch.full((), 1.0 if scale is None else float(scale), dtype=torch.float32, device=device)
