"""The two ways to write a threshold: as a Python float, or as a tensor that stands in during forward."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..functional import scale_threshold

_NOWHERE: dict[str, Any] = {}
Scaling = Callable[[Tensor, "Tensor | float"], Tensor]


class _Absent:
    """Stands for no entry in `__dict__`; a class, so that copies and pickles know it again."""


def find_attribute(module: nn.Module, attribute: str) -> Any:
    """The module's own parameter, buffer or plain attribute, past anything that shadows a parameter or buffer.

    Raises:
        AdapterError: there is none, or it is a property that cannot be set or that gives a tensor.
    """
    for store in (module._parameters, module._buffers, module.__dict__):
        if attribute in store:
            return store[attribute]
    try:
        value = getattr(module, attribute)
    except AttributeError:
        raise AdapterError(f"{type(module).__name__} has no attribute {attribute!r}") from None
    inherited = getattr(type(module), attribute, None)
    if isinstance(inherited, property) and (inherited.fset is None or isinstance(value, Tensor)):
        raise AdapterError(
            f"{type(module).__name__}.{attribute} is a property, which cannot be scaled: name the attribute it reads"
        )
    return value


def threshold_of(
    module: nn.Module, attribute: str, rest: float = 0.0, number: "Callable[..., FloatThreshold] | None" = None
) -> "Threshold":
    """The writer that fits what the module holds: a tensor, buffer or Parameter, or a number.

    Args:
        number: the writer of a number, if not `FloatThreshold`.

    Raises:
        AdapterError: it is something else, or `find_attribute` finds none.
    """
    stored = find_attribute(module, attribute)
    if isinstance(stored, Tensor):
        return ShadowThreshold(module, attribute, rest)
    if isinstance(stored, Real) and not isinstance(stored, bool):
        return (number or FloatThreshold)(module, attribute, rest)
    raise AdapterError(
        f"{type(module).__name__}.{attribute} is a {type(stored).__name__}: a number, tensor, buffer or Parameter is needed"
    )


def _home(module: nn.Module, attribute: str) -> dict[str, Any]:
    """The dictionary in which a module keeps the attribute."""
    for store in (module._parameters, module._buffers):
        if attribute in store:
            return store
    return module.__dict__


def _as_factor(scale: Tensor | float | None, device: torch.device) -> Tensor:
    if isinstance(scale, Tensor):
        return scale.to(device)
    with torch.inference_mode(False):
        return torch.full((), 1.0 if scale is None else float(scale), device=device)


class FloatThreshold:
    """Writes a Python float into an attribute that forward reads anew each time, and keeps the original aside.

    Args:
        attribute: its name.
        rest: the distance of the threshold from `rest` is scaled.
        wrote: called with the module after each change, for state that the framework derives from the threshold.
    """

    host = True  # takes floats: all layers of a model share one device-to-host copy per update

    def __init__(self, module: nn.Module, attribute: str, rest: float = 0.0, wrote: Callable[[Any], None] | None = None):
        self.attribute, self.rest, self.wrote = attribute, rest, wrote
        self.original = find_attribute(module, attribute)
        self.inherited = attribute not in module.__dict__

    def value(self, module: nn.Module) -> Tensor:
        """The original threshold as a tensor on the CPU."""
        return torch.tensor(float(self.original))

    def write(self, module: nn.Module, scale: float | None) -> None:
        """Set rest + s (θ⁰ − rest); None stands for s = 1."""
        if scale is None:
            self.restore(module)
            return
        original = float(self.original)
        # around a rest other than 0 written so that s = 1 gives θ⁰ back bit for bit
        rested = original + (scale - 1.0) * (original - self.rest)
        self._set(module, rested if self.rest else scale * original)

    def restore(self, module: nn.Module) -> None:
        """Set the original itself, or give it back to the class that it came from."""
        self._set(module, self.original)
        if self.inherited:
            module.__dict__.pop(self.attribute, None)

    def bake(self, module: nn.Module, shared: bool) -> None:
        """Nothing to do: the module holds the scaled threshold already."""

    def _set(self, module: nn.Module, value: Any) -> None:
        setattr(module, self.attribute, value)
        if self.wrote is not None:
            self.wrote(module)


class ShadowThreshold:
    """Puts the scaled threshold in the place of the parameter, buffer or attribute for the time of a forward.

    The tensor behind it is never written: state_dict, pickling and aliased storage stay as they are, and the gradient to a
    learnable threshold flows through the scaling. It is put where the original is, not in `__dict__` before it: compiled code
    that was traced without the latter does not look there, and would silently use the original.

    Args:
        attribute: name of a parameter, buffer, plain tensor or float.
        rest: the distance of the threshold from `rest` is scaled.
        scaling: how to scale the stored tensor, if not by `scale_threshold`.
        reading: how to read a threshold from the stored tensor, if it is not the threshold itself.
    """

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
        self._depth = 0  # forwards under way; more than one where forward calls itself, or where Ctrl-C cut one short
        self._previous: Any = _Absent
        self._shadow: Any = None
        self._place = _NOWHERE
        self.factor: Tensor | None = None  # the scale that compiled forwards read, once there are any: always a tensor
        self._covered: Any = None  # what a compiled forward put aside, while it runs
        self._forget()

    def _forget(self) -> None:
        self._cached: Tensor | None = None
        self._source: Any = None
        self._version = -1

    def _stored(self, module: nn.Module) -> Any:
        """What the module keeps, also while it is shadowed."""
        if self._depth:
            return getattr(type(module), self.attribute) if self._previous is _Absent else self._previous
        return find_attribute(module, self.attribute)

    def value(self, module: nn.Module) -> Tensor:
        """The original threshold, detached."""
        stored = torch.as_tensor(self._stored(module)).detach()
        return stored if self.reading is None else self.reading(stored)

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Use scale s from the next forward on; None stands for s = 1 and shadows nothing."""
        self.restore(module)
        self.scale = scale
        if self.factor is not None:
            self.factor = _as_factor(scale, self.factor.device)
        self._forget()

    def effective(self, module: nn.Module) -> Tensor:
        """The scaled threshold, as the module's forward sees it. A Parameter's is computed in every forward, others once."""
        source = self._stored(module)
        is_tensor = isinstance(source, Tensor)
        version = source._version if is_tensor and not source.is_inference() else 0
        if self._cached is not None and source is self._source and version == self._version:
            return self._cached
        scale = self.scale
        if scale is None:
            return torch.as_tensor(source)
        if isinstance(scale, Tensor):
            source_device = source.device if is_tensor else scale.device
            scale = scale if scale.device == source_device else scale.to(source_device)
            stored = source if is_tensor else torch.full((), float(source), device=source_device)
        else:
            stored = torch.as_tensor(source)
        scaled = scale_threshold(stored, scale, self.rest) if self.scaling is None else self.scaling(stored, scale)
        # Not under no_grad either: the next forward may want the gradient. And `.to()` changes a Parameter in its place.
        lasting = not (isinstance(source, nn.Parameter) or scaled.requires_grad or stored.requires_grad)
        if lasting and not torch.is_inference_mode_enabled():
            self._cached, self._source, self._version = scaled, source, version
        return scaled

    def enter(self, module: nn.Module) -> None:
        """Before forward."""
        if self.scale is not None:
            effective = self.effective(module)
            if self._depth == 0:
                self._place = _home(module, self.attribute)
                self._previous = self._place.get(self.attribute, _Absent)
            self._place[self.attribute] = self._shadow = effective
            self._depth += 1

    def leave(self, module: nn.Module) -> None:
        """After forward, also when it raised."""
        if self._depth:
            self._depth -= 1
            if self._depth == 0:
                self._unshadow(module)
        elif self._covered is not None:
            self.uncover(module)

    def restore(self, module: nn.Module) -> None:
        """Take away what a forward left that no hook could follow (Ctrl-C); the original was never touched."""
        if self._depth:
            self._depth = 0
            self._unshadow(module)
        self.uncover(module)

    def _unshadow(self, module: nn.Module) -> None:
        if self._previous is _Absent:
            self._place.pop(self.attribute, None)
        elif self._place.get(self.attribute) is self._shadow:  # or else forward has set another threshold
            self._place[self.attribute] = self._previous
        self._previous, self._shadow, self._place = _Absent, None, _NOWHERE

    def prepare(self, module: nn.Module) -> None:
        """While a forward is traced: have the scale as a tensor where the threshold is."""
        stored = self._stored(module)
        device = stored.device if isinstance(stored, Tensor) else getattr(self.scale, "device", torch.device("cpu"))
        if self.factor is None or self.factor.device != device:
            self.factor = _as_factor(self.scale, device)

    def cover(self, module: nn.Module) -> None:
        """`enter` of a compiled forward; the scaling is part of it."""
        assert self.factor is not None
        home = _home(module, self.attribute)
        stored = self._covered = home[self.attribute]
        if not isinstance(stored, Tensor):
            stored = self.factor.new_full((), float(stored))
        scaled = scale_threshold(stored, self.factor, self.rest) if self.scaling is None else self.scaling(stored, self.factor)
        home[self.attribute] = scaled

    def uncover(self, module: nn.Module) -> None:
        """`leave` of a compiled forward."""
        if self._covered is not None:
            _home(module, self.attribute)[self.attribute] = self._covered
            self._covered = None

    @torch.no_grad()
    def bake(self, module: nn.Module, shared: bool) -> None:
        """Write the scaled threshold for good. A parameter stays the same object (optimizers hold it), unless `shared`."""
        self.restore(module)
        if self.scale is None:
            return
        source, scaled = find_attribute(module, self.attribute), self.effective(module).detach().clone()
        if isinstance(source, nn.Parameter) and not shared:
            source.data = scaled
        elif isinstance(source, nn.Parameter):
            module._parameters[self.attribute] = nn.Parameter(scaled, requires_grad=source.requires_grad)
        elif self.attribute in module._buffers:
            module._buffers[self.attribute] = scaled
        else:
            module.__dict__[self.attribute] = scaled if isinstance(source, Tensor) else scaled.item()
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        # a cached tensor may belong to another device or graph in the copy: let it be computed anew
        return {**self.__dict__, "_cached": None, "_source": None, "_version": -1}


Threshold = FloatThreshold | ShadowThreshold
