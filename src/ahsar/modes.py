"""Working out of sight of the modes that look on at every operation of a forward.

Counters of operations would count ours. Selective checkpointing numbers what it saves, and takes it by number in the
recomputation, which senses nothing and finds scaled thresholds ready: one operation more in the first forward, and gradients
are silently wrong.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import _pop_mode, _push_mode

from . import tracing

Result = TypeVar("Result")
# private, all of it; a torch without it shows our operations to modes
_dispatch = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
_function = getattr(torch._C, "_len_torch_function_stack", lambda: 0)


def watched() -> bool:
    """Whether a mode looks on."""
    return bool(_dispatch() or _function())


def aside(function: Callable[..., Result], *args: Any) -> Result:
    """Call a function that no mode shall see, but for those that trace: to them tensors are what the mode makes of them."""
    if not watched() or tracing.under_way():
        return function(*args)
    modes: list[Any] = [_pop_mode() for _ in range(_dispatch())]
    try:
        with torch._C.DisableTorchFunction():
            return function(*args)
    finally:
        for mode in reversed(modes):
            _push_mode(mode)
