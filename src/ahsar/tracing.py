"""Whether a forward trains the model, or is only looked at or transformed: by an exporter, a tracer or torch.func.

There tensors have no values, or are wrappers that die with the transform: nothing may be sensed of them, or kept.
"""

from functools import partial
from typing import Any, NoReturn

import torch
import torch.fx._symbolic_trace as fx
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from .errors import ExportError

OR_A_COPY = "or, if training goes on, a copy of it: copied = copy.deepcopy(model); ahsar.attached(copied).bake()"
_C: Any = torch._C  # private, all that is asked of it, but in every torch since 2.6
_TRACERS = _C._TorchDispatchModeKey.FAKE, _C._TorchDispatchModeKey.FUNCTIONAL, _C._TorchDispatchModeKey.PROXY


def under_way() -> bool:
    """Whether someone traces, exports or transforms what runs now: torch.export, jit.trace, torch.fx, make_fx, torch.func.

    For eager code; torch.compile traces as well, and has its own hooks.
    """
    if _C._is_tracing() or fx._is_fx_tracing_flag or _C._functorch.peek_interpreter_stack() is not None:
        return True
    return bool(_C._len_torch_dispatch_stack()) and any(_C._get_dispatch_mode(key) is not None for key in _TRACERS)


def within_compiler() -> bool:
    """The same while torch.compile's tracer runs, which exports as well: whether it does, or torch.func is within."""
    exports = getattr(torch.compiler, "_is_exporting_flag", False)  # newer than 2.6
    return bool(exports) or _C._functorch.peek_interpreter_stack() is not None


def by_proxies() -> bool:
    """Whether `torch.fx.symbolic_trace` is under way: a `Proxy` is in the place of each tensor."""
    if not fx._is_fx_tracing_flag:
        return False
    from torch.fx.experimental.proxy_tensor import get_proxy_mode  # slow to import

    return get_proxy_mode() is None and not torch.compiler.is_compiling()  # make_fx and torch.export raise the flag as well


class Unscriptable:
    """Stands on a module until `remove()`, and tells `torch.jit.script`, which would compile the hooks, what to do."""

    def __init__(self, module: nn.Module, name: str):
        self.module = module
        # a partial function has no attributes: tracetorch follows those of all that a module holds
        module.__dict__["__prepare_scriptable__"] = partial(_refuse_scripting, name)

    def remove(self) -> None:
        """Let the module be scripted."""
        self.module.__dict__.pop("__prepare_scriptable__", None)


def _refuse_scripting(name: str) -> NoReturn:
    raise ExportError(
        f"layer {name!r} is attached, and torch.jit.script would compile its hooks: bake() the model first, {OR_A_COPY}"
    )


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor is more than the shape of one, in the eyes of `FakeTensorMode`, which it may have left."""
    return not isinstance(tensor, FakeTensor)
