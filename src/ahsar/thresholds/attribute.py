"""Where a module keeps an attribute."""

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AdapterError


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
            f"{type(module).__name__}.{attribute} is a property, which cannot be scaled: name the attribute it reads. If it "
            f"takes that one through softplus, exp or sigmoid, say so: ahsar.register_adapter({type(module).__name__}, "
            'threshold="the attribute", through="softplus")'
        )
    return value


def home_of(module: nn.Module, attribute: str) -> dict[str, Any]:
    """The dictionary in which a module keeps the attribute."""
    for store in (module._parameters, module._buffers):
        if attribute in store:
            return store
    return module.__dict__


def tensor_of(threshold: Any) -> Tensor:
    """A threshold as a tensor: itself, or float32 on the CPU for a number, whatever tensors are made of by default."""
    return threshold if isinstance(threshold, Tensor) else torch.tensor(float(threshold), dtype=torch.float32, device="cpu")


def is_property(module: nn.Module, attribute: str) -> bool:
    """Whether the class computes the attribute, so that it may be a new object at each look."""
    return isinstance(getattr(type(module), attribute, None), property)
