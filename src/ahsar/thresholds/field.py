"""A threshold that is a field of a NamedTuple, such as Norse's `module.p.v_th`: the tuple as a whole is shadowed."""

from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any

from torch import Tensor, nn

from ..errors import AdapterError
from .shadow import ShadowThreshold


class FieldThreshold(ShadowThreshold):
    """Puts a tuple with the scaled threshold in the place of the module's own for the time of a forward.

    The module's own tuple, and the tensor in it, which other modules may hold as well, are never written.

    Args:
        attribute: name of the tuple.
        fields: names that lead from the tuple to the threshold, a number or tensor; more than one where tuples are nested.
        rest: the distance of the threshold from `rest` is scaled.

    Raises:
        AdapterError: there is no such tuple, or the field is no number and no tensor.
    """

    def __init__(self, module: nn.Module, attribute: str, fields: tuple[str, ...], rest: float = 0.0):
        super().__init__(module, attribute, rest)
        self.fields = fields
        stored = self._inside(self._behind(module))
        if not isinstance(stored, (Tensor, Real)) or isinstance(stored, bool):
            where = ".".join((attribute, *fields))
            raise AdapterError(
                f"{type(module).__name__}.{where} is a {type(stored).__name__}: a number, tensor or Parameter is needed"
            )

    def _inside(self, behind: Any) -> Any:
        for name in self.fields:
            behind = getattr(behind, name)
        return behind

    def _around(self, behind: Any, threshold: Any) -> Any:
        return _with_field(behind, self.fields, threshold)

    def _parameters_of(self, module: nn.Module) -> Iterable[Any]:
        return _leaves(module.__dict__.get(self.attribute, ()))


def _with_field(tree: Any, fields: tuple[str, ...], value: Any) -> Any:
    """A copy of the nested tuple `tree` in which `value` is at the end of the path `fields`."""
    name, *inner = fields
    return tree._replace(**{name: _with_field(getattr(tree, name), tuple(inner), value) if inner else value})


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, tuple):
        for item in tree:
            yield from _leaves(item)
    else:
        yield tree
