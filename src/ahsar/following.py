"""The optimizer that a controller follows: a step of the fast loop after each of its own, and its learning rate."""

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch

from .errors import AttachError


def innermost(optimizer: Any, call: str = "follow()") -> Any:
    """The optimizer that moves the weights: wrappers (SAM, Lookahead, Accelerate, ...) keep it in some attribute.

    A wrapper that holds several is itself the one.

    Raises:
        AttachError: this is no optimizer.
    """
    if not _steps(optimizer):
        raise AttachError(
            f"{call}: the optimizer is a {type(optimizer).__name__}, not a torch.optim.Optimizer or a wrapper of one"
        )
    return _inner(optimizer, ())


def _steps(value: Any) -> bool:
    """Whether this is an optimizer; some wrappers are none by their class."""
    return isinstance(value, torch.optim.Optimizer) or (
        callable(getattr(type(value), "step", None)) and hasattr(value, "param_groups")
    )


def _inner(optimizer: Any, around: tuple[int, ...]) -> Any:
    around = (*around, id(optimizer))
    held = [value for value in vars(optimizer).values() if id(value) not in around and _steps(value)]
    # Fabric's wrappers have all attributes of what they wrap, so that several ways may lead to one optimizer
    found = {id(one): one for one in (_inner(value, around) for value in held)}
    return found.popitem()[1] if len(found) == 1 else optimizer


class Following:
    """Takes a step of the controller where the optimizer takes one, once for each call of its outermost `step()`.

    Raises:
        AttachError: this is no optimizer.
    """

    def __init__(self, optimizer: Any, step: Callable[[], None]) -> None:
        self._optimizer, self._step = innermost(optimizer), step
        self._within, self._due = 0, False
        self._handles: list[Any] = []
        # the step that counts, and may be left out (accumulated gradients, overflow), is the inner one's
        tells = _tells(self._optimizer)
        if tells:
            self._handles.append(self._optimizer.register_step_post_hook(lambda *_: self._stepped()))
        if optimizer is not self._optimizer:
            self._handles.append(_Enclosed(optimizer, self, counts=False))
        if not tells or _tells_twice(type(self._optimizer)):
            self._handles.append(_Enclosed(self._optimizer, self, counts=True))

    @property
    def name(self) -> str:
        """The class of the optimizer that is followed."""
        return type(self._optimizer).__name__

    def learning_rate(self) -> float | None:
        """The largest of its groups, or None if they have none."""
        return max((float(group["lr"]) for group in self._optimizer.param_groups if "lr" in group), default=None)

    def end(self) -> None:
        """Follow it no longer."""
        for handle in self._handles:
            handle.remove()

    def _stepped(self) -> None:
        if self._within:
            self._due = True
        else:
            self._step()

    def call(self, step: Callable[..., Any], counts: bool, *args: Any, **kwargs: Any) -> Any:
        """Run the `step` of an optimizer or of a wrapper: all that the weights are moved by within it is one step."""
        self._within += 1
        try:
            result = step(*args, **kwargs)
            self._due |= counts
        finally:
            self._within -= 1
        if self._due and not self._within:
            self._due = False
            self._step()
        return result


class _Enclosed:
    """Stands in the place of one optimizer's `step` until `remove()`, as schedulers of the learning rate do."""

    def __init__(self, optimizer: Any, following: Following, counts: bool) -> None:
        self._optimizer, self._following = optimizer, following
        self._before = vars(optimizer).get("step")
        before, function = optimizer.step, getattr(optimizer.step, "__func__", optimizer.step)

        @functools.wraps(function)
        def step(own: Any, *args: Any, **kwargs: Any) -> Any:
            if own is not optimizer:  # a copy of it
                return type(own).step(own, *args, **kwargs)
            if self._following is None:
                return before(*args, **kwargs)
            return self._following.call(before, counts, *args, **kwargs)

        # a method, as schedulers want to find
        self._mine = optimizer.step = MethodType(step, optimizer)

    def remove(self) -> None:
        self._following = None
        if vars(self._optimizer).get("step") is not self._mine:  # someone went over it: it only passes calls on from now on
            return
        if self._before is None:
            del self._optimizer.step
        else:
            self._optimizer.step = self._before


def _tells(optimizer: Any) -> bool:
    """Whether hooks on its steps are called: a class whose `__init__` leaves out that of torch has no place for them."""
    return hasattr(optimizer, "_optimizer_step_post_hooks") and getattr(type(optimizer).step, "hooked", False)


def _tells_twice(kind: type) -> bool:
    """Whether its step may call that of the class above, each of which calls the hooks."""
    steps = [vars(cls)["step"] for cls in kind.__mro__ if "step" in vars(cls) and cls is not torch.optim.Optimizer]
    return len({inspect.unwrap(step) for step in steps}) > 1
