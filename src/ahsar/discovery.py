"""Finding the spiking layers of a model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from .adapters import Adapter, Skip, find
from .errors import AttachError

Selection = Callable[[str, nn.Module], bool] | Iterable[str] | None  # "all", or one name, is a str


@dataclass(frozen=True)
class Found:
    """A module that an adapter knows: `reason` is None if it can be regulated, else why it is skipped."""

    name: str
    module: nn.Module
    framework: str
    adapter: Adapter | None
    reason: str | None


def discover(model: nn.Module) -> list[Found]:
    """Every module of `model` that an adapter knows, in order of definition; a shared module once. Changes nothing.

    >>> [(item.name, item.framework) for item in ahsar.discover(nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9)))]
    [('1', 'snnTorch')]
    """
    candidates = []
    for name, module in model.named_modules():
        entry = find(module)
        if isinstance(entry, Skip):
            candidates.append(Found(name, module, entry.framework, None, entry.reason))
        elif isinstance(entry, Adapter):
            candidates.append(Found(name, module, entry.framework, entry, entry.refuse(module)))
    return candidates


def select(model: nn.Module, layers: Selection) -> list[Found]:
    """The layers to regulate: those that can be and are chosen; all for None or "all" (if no layer has that name).

    Raises:
        AttachError: there is none, or a name is none of theirs.
    """
    candidates = discover(model)
    usable = [item for item in candidates if item.adapter is not None and item.reason is None]
    if not usable:
        raise AttachError(_nothing_found(model, candidates))
    if layers is None or (layers == "all" and "all" not in [item.name for item in usable]):
        return usable
    if callable(layers):
        chosen = [item for item in usable if layers(item.name, item.module)]
    else:
        names = [layers] if isinstance(layers, str) else list(layers) if isinstance(layers, Iterable) else [layers]
        if wrong := [name for name in names if not isinstance(name, str)]:
            raise AttachError(f"layers={layers!r} has {wrong[0]!r}: give names, a predicate (name, module) -> bool, or 'all'")
        unknown = [name for name in names if name not in {item.name for item in usable}]
        if unknown:
            skipped = {item.name: item.reason for item in candidates if item.reason is not None}
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
