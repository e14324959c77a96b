"""The threshold that stands in for the original while a forward runs, and how to tell whether forward has set another."""

from typing import Any

from torch import Tensor


class Absent:
    """Stands for no entry in a dictionary; a class, so that copies and pickles know it again."""


class StandIn:
    """An entry in one of a module's dictionaries, put there for the time of a forward.

    Attributes:
        previous: the entry that it stands for, or `Absent`.
        value: the entry that was put there.
        threshold: the tensor in it that is the scaled threshold.
    """

    previous: Any
    value: Any
    threshold: Tensor

    __slots__ = ("_attribute", "_home", "_lifted", "_version", "previous", "threshold", "value")

    def __init__(self, home: dict[str, Any], attribute: str):
        self._home, self._attribute = home, attribute
        self.previous = home.get(attribute, Absent)

    def put(self, value: Any, threshold: Tensor) -> None:
        """Stand in, from the next look at the module on."""
        self._home[self._attribute] = self.value = value
        self.threshold, self._version = threshold, version_of(threshold)

    def within(self, home: dict[str, Any]) -> bool:
        """Whether it is an entry of this dictionary."""
        return self._home is home

    def found(self) -> Any:
        """What is there now."""
        return self._home.get(self._attribute, Absent)

    def changed(self) -> bool:
        """Whether the threshold was changed in place."""
        return version_of(self.threshold) != self._version

    def end(self) -> None:
        """Give the place back to the previous entry."""
        self.leave(self.previous)

    def leave(self, value: Any) -> None:
        """Leave another entry in the place."""
        if value is Absent:
            self._home.pop(self._attribute, None)
        else:
            self._home[self._attribute] = value

    def lift(self) -> None:
        """Show the previous entry until `lower`."""
        self._lifted = self.found()
        self.end()

    def lower(self) -> None:
        """Stand in again."""
        self.leave(self._lifted)


def version_of(tensor: Tensor) -> int:
    """A number that grows with each change in place, but for those through `.data`; tensors of inference mode have none."""
    return 0 if tensor.is_inference() else tensor._version
