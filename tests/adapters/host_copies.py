"""Counting what makes the host wait for a device, and nothing that it knows by then."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ahsar import modes
from ahsar.later import Later


class HostCopies(TorchDispatchMode):
    """Counts what makes the host wait for a device: a scalar or list taken out of a tensor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        super().__init__()
        self.count = 0
        tolist, value = torch.Tensor.tolist, Later.value

        def counted(tensor: torch.Tensor) -> Any:
            self.count += 1
            return tolist(tensor)

        # reads memory without an operation
        monkeypatch.setattr(torch.Tensor, "tolist", counted)

        def known(later: Later) -> bool:
            """On the host since the update before; on a CPU it is read as what is computed now would be."""
            before = self.count
            answer = value(later)
            self.count = before
            return answer

        monkeypatch.setattr(Later, "value", known)
        monkeypatch.setattr(modes, "watched", lambda: False)  # this mode is to see our operations

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))

    def during(self, call: Callable[[], Any]) -> int:
        self.count = 0
        with self:
            call()
        return self.count
