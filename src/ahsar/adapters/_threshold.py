"""The two ways to write a threshold: as a Python float, or as a tensor that stands in during forward."""

from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..functional import scale_threshold

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


def threshold_of(module: nn.Module, attribute: str, rest: float = 0.0) -> "Threshold":
    """The writer that fits what the module holds: a tensor, buffer or Parameter, or a number.

    Raises:
        AdapterError: it is something else, or `find_attribute` finds none.
    """
    stored = find_attribute(module, attribute)
    if isinstance(stored, Tensor):
        return ShadowThreshold(module, attribute, rest)
    if isinstance(stored, Real) and not isinstance(stored, bool):
        return FloatThreshold(module, attribute, rest)
    raise AdapterError(
        f"{type(module).__name__}.{attribute} is a {type(stored).__name__}: a number, tensor, buffer or Parameter is needed"
    )


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
        """The module holds the scaled threshold already; from now on it is the original."""
        self.original = find_attribute(module, self.attribute)

    def shared(self, module: nn.Module, model: nn.Module) -> bool:
        """A number is no one else's."""
        return False

    def _set(self, module: nn.Module, value: Any) -> None:
        setattr(module, self.attribute, value)
        if self.wrote is not None:
            self.wrote(module)


class ShadowThreshold:
    """Puts the scaled threshold into the module's `__dict__` for the time of a forward, and takes it out afterwards.

    The parameter or buffer behind it is never written: state_dict, pickling and aliased storage stay as they are, and the
    gradient to a learnable threshold flows through the scaling.

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
        # `.to()` moves parameters and buffers, not plain attributes: these are scaled where the input is
        self.follows = attribute not in module._parameters and attribute not in module._buffers
        self._depth = 0  # forwards under way; more than one where forward calls itself, or where Ctrl-C cut one short
        self._previous: Any = _Absent
        self._forget()

    def _forget(self) -> None:
        self._cached: Tensor | None = None
        self._source: Any = None
        self._version = -1

    def _behind(self, module: nn.Module) -> Any:
        """What the module keeps under the attribute, also while it is shadowed."""
        if self._depth and self._previous is not _Absent:
            return self._previous
        return find_attribute(module, self.attribute)

    def _stored(self, module: nn.Module) -> Any:
        """The threshold that the module keeps."""
        return self._behind(module)

    def _cover(self, module: nn.Module, effective: Tensor) -> Any:
        """What stands in for the attribute while the threshold is `effective`."""
        return effective

    def _keep(self, module: nn.Module, value: Any) -> None:
        """Make `value` the threshold that the module keeps."""
        stores = (module._parameters, module._buffers)
        next((store for store in stores if self.attribute in store), module.__dict__)[self.attribute] = value

    def _held(self, module: nn.Module) -> Iterable[Any]:
        """The Parameters of any module that a threshold of this kind may be."""
        return module._parameters.values()

    def value(self, module: nn.Module) -> Tensor:
        """The original threshold, detached; whole, where FSDP gives each rank a part."""
        stored = torch.as_tensor(self._stored(module)).detach()
        stored = stored.full_tensor() if hasattr(stored, "full_tensor") else stored  # type: ignore[attr-defined]
        return stored if self.reading is None else self.reading(stored)

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Use scale s from the next forward on; None stands for s = 1 and shadows nothing."""
        self.restore(module)
        self.scale = scale
        self._forget()

    def effective(self, module: nn.Module, place: torch.device | None = None) -> Tensor:
        """The scaled threshold, as the module's forward sees it. A Parameter's is computed in every forward, others once.

        `place`: device of the forward's input, where a threshold without dimensions goes that `.to()` does not move.
        """
        source = self._stored(module)
        is_tensor = isinstance(source, Tensor)
        version = source._version if is_tensor and not source.is_inference() else 0
        cached = self._cached
        if (
            cached is not None
            and source is self._source
            and version == self._version
            and (place is None or cached.device == place)
        ):
            return cached
        scale = self.scale
        if scale is None:
            return torch.as_tensor(source)
        if isinstance(scale, Tensor):
            device = place or (source.device if is_tensor else scale.device)
            scale = scale if scale.device == device else scale.to(device)
            stored = source.to(device) if is_tensor else torch.tensor(float(source), device=device)
        else:
            stored = torch.as_tensor(source)
        scaled = scale_threshold(stored, scale, self.rest) if self.scaling is None else self.scaling(stored, scale)
        # Not under no_grad either: the next forward may want the gradient. And `.to()` changes a Parameter in its place.
        lasting = not (isinstance(source, nn.Parameter) or scaled.requires_grad or stored.requires_grad)
        if lasting and not torch.is_inference_mode_enabled():
            self._cached, self._source, self._version = scaled, source, version
        return scaled

    def enter(self, module: nn.Module, args: Any = ()) -> None:
        """Before forward; `args` are its positional arguments."""
        if self.scale is not None:
            effective = self.effective(module, self._place(module, args) if self.follows else None)
            cover = self._cover(module, effective)
            if self._depth == 0:
                self._previous = module.__dict__.get(self.attribute, _Absent)
            module.__dict__[self.attribute] = cover
            self._depth += 1

    def _place(self, module: nn.Module, args: Any) -> torch.device | None:
        stored = self._stored(module)
        if isinstance(stored, Tensor) and stored.ndim > 0:
            return None  # a tensor with dimensions is where its user put it
        return args[0].device if args and isinstance(args[0], Tensor) else None

    def leave(self, module: nn.Module) -> None:
        """After forward, also when it raised."""
        if self._depth:
            self._depth -= 1
            if self._depth == 0:
                self._uncover(module)

    def restore(self, module: nn.Module) -> None:
        """Take away what a forward left that no hook could follow (Ctrl-C); the original was never touched."""
        if self._depth:
            self._depth = 0
            self._uncover(module)

    def _uncover(self, module: nn.Module) -> None:
        if self._previous is _Absent:
            module.__dict__.pop(self.attribute, None)
        else:
            module.__dict__[self.attribute] = self._previous
        self._previous = _Absent

    @torch.no_grad()
    def bake(self, module: nn.Module, shared: bool) -> None:
        """Write the scaled threshold for good. A parameter stays the same object (optimizers hold it), unless `shared`."""
        self.restore(module)
        if self.scale is None:
            return
        self._forget()  # a cached one may lie on the input's device
        source, scaled = self._stored(module), self.effective(module).detach().clone()
        if isinstance(source, nn.Parameter) and hasattr(source, "full_tensor"):
            source.copy_(scaled)  # FSDP shards it: rebinding the data would leave the shard as it was
        elif isinstance(source, nn.Parameter) and not shared:
            source.data = scaled
        elif isinstance(source, nn.Parameter):
            self._keep(module, nn.Parameter(scaled, requires_grad=source.requires_grad))
        else:
            self._keep(module, scaled if isinstance(source, Tensor) else scaled.item())
        self._forget()

    def shared(self, module: nn.Module, model: nn.Module) -> bool:
        """Whether the threshold is a Parameter that another module of `model` holds, too."""
        stored = self._stored(module)
        if not isinstance(stored, nn.Parameter):
            return False
        return sum(held is stored for other in model.modules() for held in self._held(other)) > 1

    def __getstate__(self) -> dict[str, Any]:
        # a cached tensor may belong to another device or graph in the copy: let it be computed anew
        return {**self.__dict__, "_cached": None, "_source": None, "_version": -1}


Threshold = FloatThreshold | ShadowThreshold
