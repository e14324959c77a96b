"""Sums of spikes and outputs that compiled forwards add to in place."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Call = TypeVar("Call", bound=Callable[..., Any])


def while_tracing(function: Call) -> Call:
    """Let torch.compile call the function once, while it traces, and leave it out of the compiled code; eager calls stay.

    The mark is all that `torch.compiler.assume_constant_result` does, which would import the compiler.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def inline_only(function: Call) -> Call:
    """Let torch.compile trace the function as part of what calls it, never alone: called from eager code, it stays eager.

    The interface is private; a torch without it compiles such hooks on their own, which is right but slower.
    """
    frames: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
    if hasattr(frames, "set_code_exec_strategy"):
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))
    return function


class Tally:
    """Two 0-d tensors of a layer, `spikes` (float32) and `count` (int64).

    They stay the same objects as long as the device is the same. Their address is marked as static, since CUDA graphs are not
    used for a forward that writes into other inputs.
    """

    def __init__(self, device: torch.device):
        self._make(device)

    @torch.inference_mode(False)
    def _make(self, device: torch.device) -> None:
        self.spikes, self.count = (torch.zeros((), dtype=dtype, device=device) for dtype in (torch.float32, torch.int64))
        for tensor in (self.spikes, self.count):
            torch._dynamo.mark_static_address(tensor)

    def settle(self, device: torch.device) -> None:
        """Move to a device, with all that was counted."""
        if device != self.spikes.device:
            spikes, count = self.spikes, self.count
            self._make(device)
            self.spikes.copy_(spikes)
            self.count.copy_(count)

    def clear(self) -> None:
        self.spikes.zero_()
        self.count.zero_()


def add(tallies: list[Tally | None], spikes: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """What was counted by hand, [L] each, and by each layer's tally together; nothing leaves the device."""
    zero, device = torch.zeros((), device=spikes.device), spikes.device
    more = torch.stack([zero if tally is None else tally.spikes.to(device) for tally in tallies])
    seen = torch.stack([zero if tally is None else tally.count.to(device, torch.float32) for tally in tallies])
    return spikes + more, counts + seen
