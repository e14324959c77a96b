"""Finding the spiking layers of a model."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

from torch import nn

from .adapters import Adapter, Skip, find
from .errors import AttachError
from .snapshot import STRUCTURE
from .tables import html_table, text_table

Selection = Callable[[str, nn.Module], bool] | Iterable[str] | None  # "all", or one name, is a str


@dataclass(frozen=True)
class Found:
    """A module that an adapter knows: `reason` is None if it can be regulated, else why it is skipped."""

    name: str
    module: nn.Module
    framework: str
    adapter: Adapter | None
    reason: str | None


class Layers(list[Found]):
    """What `discover` found: a list that shows itself as a table."""

    HEADER = ("layer", "class", "framework", "skipped because")

    def __repr__(self) -> str:
        return text_table(self.HEADER, self._rows()) if self else "no spiking layer of a known framework"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return html_table(self.HEADER, self._rows(), f"{sum(item.reason is None for item in self)} layers to regulate")

    def _rows(self) -> list[list[str]]:
        return [[item.name or "(the model)", type(item.module).__name__, item.framework, item.reason or ""] for item in self]


def discover(model: nn.Module) -> Layers:
    """Every module of `model` that an adapter knows, in order of definition; a shared module once. Changes nothing.

    Examples:
        >>> [(item.name, item.framework) for item in ahsar.discover(nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9)))]
        [('1', 'snnTorch')]
    """
    candidates = Layers()
    for name, module in model.named_modules():
        entry = find(module)
        if isinstance(entry, Skip):
            candidates.append(Found(name, module, entry.framework, None, entry.reason))
        elif isinstance(entry, Adapter):
            candidates.append(Found(name, module, entry.framework, entry, entry.refuse(module)))
    return candidates


OUTSIDE = "it is kept in a plain list, dictionary or object, where PyTorch finds no modules: use nn.ModuleList or nn.ModuleDict"
_DEPTH, _WIDTH = 2, 256  # of what is looked through


def outside(model: nn.Module) -> list[Found]:
    """Spiking layers that modules keep in attributes where PyTorch does not look for modules: no hook can be sure of them.

    Containers and objects are looked through, and those within them. Large ones are not looked through to their end.
    """
    found, seen = [], set(nn.Module.modules(model))
    for name, module in model.named_modules():
        for attribute, value in module.__dict__.items():
            # a module that is an attribute itself was hidden on purpose
            if attribute in STRUCTURE or isinstance(value, nn.Module):
                continue
            for place, kept in _modules_in(value, f"{name}.{attribute}" if name else attribute, _DEPTH):
                for item in discover(kept) if kept not in seen else ():
                    if item.module not in seen and item.reason is None:
                        whole = f"{place}.{item.name}" if item.name else place
                        found.append(Found(whole, item.module, item.framework, None, OUTSIDE))
                seen.update(nn.Module.modules(kept))
    return found


def _modules_in(value: Any, name: str, depth: int) -> Iterator[tuple[str, nn.Module]]:
    # by type: a weak proxy of a module, as trainers keep, says that it is one
    if issubclass(type(value), nn.Module):
        yield name, value
    elif depth:
        if isinstance(value, dict):
            items = ((f"{name}[{key!r}]", item) for key, item in value.items())
        elif isinstance(value, (list, tuple, deque, set)):
            items = ((f"{name}[{i}]", item) for i, item in enumerate(value))
        elif type(value).__dictoffset__ and not isinstance(value, (type, ModuleType)):
            items = ((f"{name}.{key}", item) for key, item in vars(value).items())
        else:
            return
        for place, item in islice(items, _WIDTH):
            yield from _modules_in(item, place, depth - 1)


def select(model: nn.Module, layers: Selection) -> list[Found]:
    """The layers to regulate: those that can be and are chosen; all for None or "all" (if no layer has that name).

    Raises:
        AttachError: there is none, or a name is none of theirs.
    """
    candidates = discover(model)
    usable = [item for item in candidates if item.adapter is not None and item.reason is None]
    if not usable:
        raise AttachError(_nothing_found(model, [*candidates, *outside(model)]))
    if layers is None or (layers == "all" and "all" not in [item.name for item in usable]):
        return usable
    if callable(layers) and not isinstance(layers, nn.Module):
        chosen = [item for item in usable if layers(item.name, item.module)]
    else:
        if isinstance(layers, nn.Module) or not isinstance(layers, Iterable):
            raise AttachError(f'layers= is a {type(layers).__name__}: give names, a predicate (name, module) -> bool, or "all"')
        names = [layers] if isinstance(layers, str) else list(layers)
        if wrong := [name for name in names if not isinstance(name, str)]:
            kind = type(wrong[0]).__name__
            raise AttachError(f'layers= has a {kind} in it: give names, a predicate (name, module) -> bool, or "all"')
        unknown = [name for name in names if name not in {item.name for item in usable}]
        if unknown:
            skipped = {item.name: item.reason for item in [*candidates, *outside(model)] if item.reason is not None}
            raise AttachError(
                "layers= names "
                + ", ".join(f"{name!r} ({skipped.get(name, 'no spiking layer')})" for name in unknown)
                + f"; the spiking layers are {', '.join(item.name for item in usable)}"
            )
        chosen = [item for item in usable if item.name in names]
    if not chosen:
        raise AttachError(f"layers= selects none of the spiking layers: {', '.join(item.name for item in usable)}")
    return chosen


def _nothing_found(model: nn.Module, candidates: list[Found]) -> str:
    seen = sorted({type(module).__name__ for module in nn.Module.modules(model)})
    message = f"no spiking layer to regulate in {type(model).__name__}. Module types seen: {', '.join(seen)}. "
    if candidates:
        message += "Skipped: " + "; ".join(f"{item.name} ({item.reason})" for item in candidates) + ". "
    return message + (
        'For neurons of your own: ahsar.register_adapter(MyNeuron, threshold="its_attribute", spikes=0) before attach'
    )
