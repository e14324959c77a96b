"""The writers of thresholds, and the one that fits: it differs by what the module keeps, a number or a tensor."""

from collections.abc import Callable
from numbers import Real

from torch import Tensor, nn

from ..errors import AdapterError
from .attribute import find_attribute, is_property, tensor_of
from .composite import CompositeThreshold
from .field import FieldThreshold
from .number import FloatThreshold, TensorThreshold
from .shadow import ShadowThreshold
from .writer import Threshold

__all__ = [
    "CompositeThreshold",
    "FieldThreshold",
    "FloatThreshold",
    "ShadowThreshold",
    "TensorThreshold",
    "Threshold",
    "tensor_of",
    "threshold_of",
]


def threshold_of(
    module: nn.Module, attribute: str, rest: float = 0.0, number: Callable[..., FloatThreshold] | None = None
) -> Threshold:
    """The writer that fits what the module holds: a tensor, buffer or Parameter, or a number.

    Args:
        number: the writer of a number, if not `FloatThreshold`.

    Raises:
        AdapterError: it is something else, or `find_attribute` finds none.
    """
    stored = find_attribute(module, attribute)
    if isinstance(stored, Tensor):
        return ShadowThreshold(module, attribute, rest)
    if isinstance(stored, Real) and not isinstance(stored, bool):
        # what a property gives may be computed from what was set, and no longer be that tensor
        return (FloatThreshold if number is None or is_property(module, attribute) else number)(module, attribute, rest)
    raise AdapterError(
        f"{type(module).__name__}.{attribute} is a {type(stored).__name__}: a number, tensor, buffer or Parameter is needed"
    )
