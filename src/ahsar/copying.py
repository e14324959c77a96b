"""Deep copies of modules whose class builds its copies anew, and so leaves hooks out (sinabs)."""

import copy
from collections import OrderedDict
from typing import Any

from torch import nn

from .adapters import package_of


class Copier:
    """Stands in the place of a module's `__deepcopy__` until `remove()`: what the class gives, with our hooks.

    Whether other hooks come along is the class's own affair, attached or not.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        module.__dict__["__deepcopy__"] = self

    def __call__(self, memo: dict[int, Any] | None = None) -> nn.Module:
        """A deep copy of the module, in the place of its `__deepcopy__`."""
        memo = {} if memo is None else memo
        kind: Any = type(self.module)
        copied = kind.__deepcopy__(self.module, memo)
        memo[id(self.module)] = copied
        stores = {name: hooks for name, hooks in self.module.__dict__.items() if "_hooks" in name}
        # PyTorch wraps hooks on loading
        numbers = {
            number
            for hooks in stores.values()
            for number, hook in hooks.items()
            if package_of(getattr(hook, "hook", hook)) == __package__
        }
        for name, hooks in stores.items():
            # first all of them: the handles that remove hooks hold these dictionaries, and a hook of ours its handles
            memo[id(hooks)] = copied.__dict__.setdefault(name, OrderedDict())
        for name, hooks in stores.items():
            for number in [number for number in hooks if number in numbers and number not in copied.__dict__[name]]:
                copied.__dict__[name][number] = copy.deepcopy(hooks[number], memo)
        copied.__dict__["__deepcopy__"] = copy.deepcopy(self, memo)
        return copied

    def remove(self) -> None:
        """Let the class copy as it does."""
        self.module.__dict__.pop("__deepcopy__", None)
