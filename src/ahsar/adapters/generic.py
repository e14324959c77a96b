"""Any neuron: the user names the threshold attribute and where the spikes are."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..functional import scale_exp, scale_logit, scale_softplus
from ..thresholds import ShadowThreshold, TensorThreshold, Threshold, threshold_of
from .registry import Adapter, register

Through = Literal["softplus", "exp", "sigmoid"]
_THROUGH = {
    "softplus": (scale_softplus, nn.functional.softplus),
    "exp": (scale_exp, torch.exp),
    "sigmoid": (scale_logit, torch.sigmoid),
}
Spikes = int | str | Callable[[Any], Tensor] | None


def register_adapter(
    cls: type[nn.Module],
    *,
    threshold: str,
    spikes: Spikes = None,
    rest: float = 0.0,
    binary: bool = False,
    through: Through | None = None,
) -> None:
    """Make `ahsar.attach` regulate the layers of class `cls` and its subclasses; wins over the built-in adapters.

    Args:
        cls: the neuron class.
        threshold: name of its threshold: a Python number, tensor, buffer or Parameter that forward reads each time.
        spikes: where the spikes are in what forward returns: an index, a key, a callable, or None for the output itself.
        rest: resting potential; the distance of the threshold from it is scaled, not the threshold itself.
        binary: promise that spikes are 0 or 1: counting them is then about ten times cheaper on a CPU. Else non-zeros are
            counted, and so they are where the first update finds the promise broken.
        through: forward takes the attribute through this function, "softplus", "exp" or "sigmoid", and what comes out is the
            threshold, that is scaled. With rest 0.

    Raises:
        AdapterError: `cls` is no `nn.Module` class; `spikes` or `threshold` is of the wrong type; or `through` is none of the
            three, or goes with a `rest`.

    Examples:
        >>> class Step(nn.Module):
        ...     level = 0.5
        ...     def forward(self, x):
        ...         return (x > self.level).float()
        >>> ahsar.register_adapter(Step, threshold="level", binary=True)
        >>> ahsar.attach(Step()).scales
        {'': 1.0}
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise AdapterError(f"register_adapter: {cls!r} is not a class of torch.nn.Module")
    if not isinstance(threshold, str):
        raise AdapterError(f"register_adapter: threshold = {threshold!r}: give the name of the attribute, e.g. 'threshold'")
    if not (spikes is None or isinstance(spikes, (int, str)) or callable(spikes)):
        raise AdapterError(f"register_adapter: spikes = {spikes!r}: give an index, a key, a callable or None")

    if through is not None and (through not in get_args(Through) or rest != 0.0):
        raise AdapterError(f"register_adapter: through = {through!r}: one of {', '.join(get_args(Through))}, with rest=0")

    def writer(module: nn.Module) -> Threshold:
        if through is not None:
            scaling, reading = _THROUGH[through]
            return ShadowThreshold(module, threshold, scaling=scaling, reading=reading)
        return threshold_of(module, threshold, rest)

    def compiled(module: nn.Module) -> Threshold:
        return threshold_of(module, threshold, rest, TensorThreshold)

    register(cls, Adapter("generic", writer, _Pick(spikes), lambda module: binary, compiled=None if through else compiled))


class _Pick:
    """Takes the spikes out of a layer's output; a class, so that an attached model can be pickled."""

    def __init__(self, where: Spikes):
        self.where = where

    def __call__(self, module: nn.Module, output: Any) -> Any:
        if self.where is None:
            return output
        if callable(self.where):
            return self.where(output)
        try:
            return output[self.where]
        except (LookupError, TypeError) as error:
            raise AdapterError(
                f"{type(module).__name__} returned a {type(output).__name__} without entry {self.where!r}: "
                "name where the spikes are with register_adapter(..., spikes=index, key or callable)"
            ) from error
