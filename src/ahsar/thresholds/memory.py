"""A scaled threshold that is kept for the next forwards, for as long as the original is the same."""

from typing import Any

import torch
from torch import Tensor, nn

from .. import tracing
from ..modes import aside
from .stand_in import version_of


class Memory:
    """Holds one scaled threshold, or none. A copy of it holds none: the tensor may belong to another device or graph."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Hold none."""
        self._scaled: Tensor | None = None
        self._source: Any = None
        self._stamp: Any = None

    def recall(self, source: Any, place: torch.device | None) -> Tensor | None:
        """The threshold that was kept for this original, if it lies on `place`, or anywhere where that is None."""
        scaled = self._scaled
        if scaled is None or source is not self._source or _stamp(source) != self._stamp or place not in (None, scaled.device):
            return None
        return scaled

    def keep(self, scaled: Any, source: Any) -> None:
        """Keep it, if it is a tensor that lasts."""
        if tracing.under_way() or torch.is_inference_mode_enabled():
            return
        if isinstance(scaled, Tensor) and lasts(scaled) and lasts(source):
            self._scaled, self._source, self._stamp = scaled, source, _stamp(source)

    def __reduce__(self) -> Any:
        return Memory, ()


def lasts(tensor: Any) -> bool:
    """Whether what is computed of it now holds in the next forward."""
    # Not under no_grad either: the next forward may want the gradient. And `.to()` changes a Parameter in its place.
    return not (isinstance(tensor, nn.Parameter) or getattr(tensor, "requires_grad", False))


def _stamp(source: Any) -> Any:
    """What differs once a tensor's content does: also where its `data` is replaced, but not where that is changed in place."""
    if not isinstance(source, Tensor):
        return None
    try:
        return version_of(source), aside(source.data_ptr)
    except RuntimeError:  # a tensor without storage, of some tracer
        return version_of(source)
