"""Take and give back the state that a forward changes: buffers, neuron states, random generators. Parameters stay."""

import random
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# what nn.Module itself keeps in __dict__: structure, not state
STRUCTURE = frozenset(nn.Module().__dict__)

Back = Callable[[], Any]  # gives a value back as it was: the same object, with its old content. May be called many times


class Snapshot:
    """The state of every module in a model: its buffers and attributes. `restore` may be called many times.

    Attributes are followed into lists, tuples, dictionaries, sets and deques, at any depth, and tensors, arrays and random
    generators among them get their content back. Parameters, modules and objects of other classes are as they are then.
    """

    def __init__(self, model: nn.Module):
        self.modules: list[nn.Module] = list(nn.Module.modules(model))
        known: dict[int, Back | None] = {}
        self.attributes: list[Back | None] = [_keep(_state(module), known) for module in self.modules]
        self.buffers: list[Back | None] = [_keep(module._buffers, known) for module in self.modules]

    @torch.no_grad()
    def restore(self) -> None:
        """Put every buffer and attribute back; what was changed in place gets its old content back in place."""
        for module, attributes, buffers in zip(self.modules, self.attributes, self.buffers, strict=True):
            values = attributes() if attributes else {}
            for name in [key for key in _state(module) if key not in values]:
                del module.__dict__[name]
            module.__dict__.update(values)
            if buffers:
                buffers()


def _state(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in module.__dict__.items() if name not in STRUCTURE}


def _keep(value: Any, known: dict[int, Back | None]) -> Back | None:
    """What gives a value back; None if it cannot change, or is not ours to change. `known`: those of other values, by id."""
    if id(value) not in known:
        known[id(value)] = lambda: value  # should it hold itself
        known[id(value)] = _keeper(value, known)
    return known[id(value)]


def _keeper(value: Any, known: dict[int, Back | None]) -> Back | None:
    if isinstance(value, (str, int, float, type(None), nn.Module, nn.Parameter)):
        return None
    if isinstance(value, Tensor):
        return _tensor(value)
    if type(value) in (dict, OrderedDict, defaultdict):
        return _container(value, list(value.values()), lambda items, keys=list(value): zip(keys, items, strict=True), known)
    if type(value) in (list, deque, set):
        return _container(value, list(value), lambda items: items, known)
    if type(value) is tuple or (isinstance(value, tuple) and hasattr(value, "_make")):
        return _tuple(value, known)
    return _generator_or_array(value)


def _tensor(value: Tensor) -> Back:
    content, version = value.detach().clone(), _version(value)

    def back() -> Tensor:
        # a graph may hold it: not written to without need; changes through `.data` count no version
        plain = type(value) is Tensor and value.layout is torch.strided and not value.is_meta
        if _version(value) == version and (not plain or torch.equal(value, content)):
            return value
        if value.shape != content.shape or value.is_inference():
            return content.clone()
        return value.copy_(content)

    return back


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _items(items: list[Any], known: dict[int, Back | None]) -> Callable[[], list[Any]]:
    backs = [(i, each) for i, item in enumerate(items) if (each := _keep(item, known)) is not None]

    def back() -> list[Any]:
        found = list(items)
        for i, each in backs:
            found[i] = each()
        return found

    return back


def _container(value: Any, items: list[Any], pairs: Callable[[list[Any]], Any], known: dict[int, Back | None]) -> Back:
    """Of a container that can change: emptied, and filled with what it held."""
    backs, fill = _items(items, known), value.extend if hasattr(value, "extend") else value.update

    def back() -> Any:
        found = backs()
        value.clear()
        fill(pairs(found))
        return value

    return back


def _tuple(value: Any, known: dict[int, Back | None]) -> Back:
    backs, make = _items(list(value), known), getattr(value, "_make", tuple)

    def back() -> Any:
        found = backs()
        return value if all(a is b for a, b in zip(found, value, strict=True)) else make(found)

    return back


def _generator_or_array(value: Any) -> Back | None:
    """Of random generators and arrays. NumPy's are looked for only if it was imported."""
    numpy: Any = sys.modules.get("numpy")
    if isinstance(value, torch.Generator) or (numpy and isinstance(value, numpy.random.RandomState)):
        return _by(value, value.get_state(), value.set_state)
    if numpy and isinstance(value, numpy.random.Generator):
        bits = value.bit_generator
        return _by(value, bits.state, lambda state: setattr(bits, "state", state))
    if numpy and isinstance(value, numpy.ndarray):
        return _array(value)
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return _by(value, value.getstate(), value.setstate)
    return None


def _array(value: Any) -> Back:
    content, writeable = value.copy(), value.flags.writeable

    def back() -> Any:
        if (value.shape, value.dtype) != (content.shape, content.dtype):
            return content.copy()
        try:
            if value.tobytes() != content.tobytes():
                if not value.flags.writeable:  # made so since, or others changed what it shows
                    value.flags.writeable = True
                value[...] = content
            if value.flags.writeable != writeable:
                value.flags.writeable = writeable
        except ValueError:  # it shows a buffer that cannot be written to
            return content.copy()
        return value

    return back


def _by(value: Any, state: Any, put: Callable[[Any], Any]) -> Back:
    def back() -> Any:
        put(state)
        return value

    return back


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
    """Leave the model's state and the random generators of Python, NumPy (if it was imported) and torch as they are found."""
    snapshot = Snapshot(model)
    python_state = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    numpy_state = numpy and numpy.random.get_state()
    devices = sorted({p.device.index or 0 for p in nn.Module.parameters(model) if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield snapshot
    finally:
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)
        snapshot.restore()
