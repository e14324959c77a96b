"""Take and give back the state that a forward changes: buffers, neuron states, random generators. Parameters stay."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# what nn.Module itself keeps in __dict__: structure, not state
_STRUCTURE = frozenset(nn.Module().__dict__)


def _copy(value: Any) -> Any:
    """Tensors cloned, plain containers copied, everything else as it is."""
    if isinstance(value, nn.Parameter):
        return value
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copy(item) for item in value)
    return value


class Snapshot:
    """The state of every module in a model. `restore` may be called many times."""

    def __init__(self, model: nn.Module):
        self.modules = list(nn.Module.modules(model))
        self.attributes = [
            {name: value for name, value in module.__dict__.items() if name not in _STRUCTURE} for module in self.modules
        ]
        self.values = [_copy(attributes) for attributes in self.attributes]
        self.buffers = [dict(module._buffers) for module in self.modules]
        self.contents = [_copy(buffers) for buffers in self.buffers]

    @torch.no_grad()
    def restore(self) -> None:
        """Put every buffer and attribute back; a tensor that was changed in place gets its old content back in place."""
        for module, values, buffers, contents in zip(self.modules, self.values, self.buffers, self.contents, strict=True):
            for name in [key for key in module.__dict__ if key not in _STRUCTURE and key not in values]:
                del module.__dict__[name]
            module.__dict__.update(_copy(values))
            module._buffers.clear()
            for name, buffer in buffers.items():
                if buffer is not None:
                    if buffer.requires_grad or buffer.shape != contents[name].shape:
                        buffer = contents[name].clone()
                    else:
                        buffer.copy_(contents[name])
                module._buffers[name] = buffer


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put every module of the model into training or eval mode, and give each its own flag back.

    `model.train` is not called: users override it, some with other arguments, and what it does besides is not undone.
    """
    flags = {module: module.training for module in nn.Module.modules(model)}
    for module in flags:
        module.training = training
    try:
        yield
    finally:
        for module, flag in flags.items():
            module.training = flag


@contextmanager
def untouched(model: nn.Module) -> Iterator[Snapshot]:
    """Leave the model's state and the random generators of Python and torch as they are found."""
    snapshot = Snapshot(model)
    python_state = random.getstate()
    devices = sorted({p.device.index or 0 for p in nn.Module.parameters(model) if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield snapshot
    finally:
        random.setstate(python_state)
        snapshot.restore()
