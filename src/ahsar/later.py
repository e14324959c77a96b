"""A truth value on a device, read without keeping the device or the program waiting."""

from typing import Any

import torch
from torch import Tensor


class Later:
    """A bool of shape [] that is asked for some steps after it was computed, when its copy to the host has long arrived."""

    def __init__(self, flag: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        if flag.device.type == "cuda":
            self._flag = torch.empty((), dtype=torch.bool, device="cpu", pin_memory=True)
            self._flag.copy_(flag, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(flag.device))
        else:
            self._flag = torch.zeros((), dtype=torch.bool, device="cpu") if flag.is_meta else flag

    def value(self) -> bool:
        """What it came to."""
        if self._copied is not None:
            self._copied.synchronize()
        return bool(self._flag)

    def __getstate__(self) -> dict[str, Any]:
        # events cannot be copied
        return {"_copied": None, "_flag": torch.tensor(self.value(), device="cpu")}
