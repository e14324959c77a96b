"""Writing a threshold that a module keeps as a number as a tensor, for models that will be compiled."""

from typing import Any

import torch
from torch import Tensor

from ..functional import scale_threshold
from ._threshold import FloatThreshold


class TensorThreshold(FloatThreshold):
    """Writes a 0-d float32 tensor into an attribute that holds a number, for as long as the model is attached.

    A compiler takes a number for a constant, and compiles anew when it changes; a tensor is an input.
    """

    host = False

    def write(self, module: Any, scale: Tensor | float | None) -> None:  # type: ignore[override]
        """Set rest + s (θ⁰ − rest); None stands for s = 1."""
        now = getattr(module, self.attribute)
        device = scale.device if isinstance(scale, Tensor) else now.device if isinstance(now, Tensor) else "cpu"
        # not a tensor of inference mode: training may follow
        with torch.inference_mode(False), torch.no_grad():
            original = torch.full((), float(self.original), device=device)  # torch.tensor would make the host wait
            self._set(module, original if scale is None else scale_threshold(original, scale, self.rest))

    def settle(self, module: Any, device: torch.device) -> None:
        """Move to the device of the module's input."""
        now = getattr(module, self.attribute)
        if isinstance(now, Tensor) and now.device != device:
            self._set(module, now.to(device))

    def bake(self, module: Any, shared: bool) -> None:
        """Leave a number again."""
        self._set(module, float(getattr(module, self.attribute)))
