"""What an adapter is, and the registry that finds one for a module. Entries of the user win."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..thresholds import Threshold

Hook = Callable[..., None]


def _first(module: nn.Module, output: Any) -> Any:
    return output[0] if isinstance(output, (tuple, list)) else output


def unlimited(module: nn.Module, spikes: Tensor) -> float:
    """The highest rate of a layer that nothing limits."""
    return 1.0


@dataclass(frozen=True)
class Adapter:
    """How to regulate one class of spiking layers.

    Attributes:
        framework: name shown to the user.
        threshold: builds the writer of a module's threshold; raises `AdapterError` if there is none.
        spikes: takes (module, output of its forward), returns the spikes of any shape.
        binary: whether the module's spikes are 0 or 1, so that their sum counts them; else non-zeros are counted. Only of
            a class that `is_own`: what a user's subclass returns is not known.
        refuse: a reason not to regulate this module, or None.
        ceiling: takes (module, spikes), returns the highest rate that the layer can reach; may read the spikes' shape only.
        compiled: builds the writer for a model that will be compiled, if not `threshold`.
        install: called at attach, for a framework that calls forward past the hooks, with the module and with the hooks before
            and after a forward, which take what those of `nn.Module` do; returns what has a `remove()`, called at detach.
        graded: whether the spikes are strengths in [0, 1], of which the sum counts as well.
    """

    framework: str
    threshold: Callable[[Any], Threshold]
    spikes: Callable[[Any, Any], Any] = _first
    binary: Callable[[Any], bool] = lambda module: False
    refuse: Callable[[Any], str | None] = lambda module: None
    ceiling: Callable[[Any, Tensor], float] = unlimited
    compiled: Callable[[Any], Threshold] | None = None
    install: Callable[[Any, Hook, Hook], Any] | None = None
    graded: Callable[[Any], bool] = lambda module: False


@dataclass(frozen=True)
class Skip:
    """A class that is known and cannot be regulated, with the reason."""

    framework: str
    reason: str


# Root package of a module's class -> the file here that knows it; loaded when such a module is first met.
FRAMEWORKS = {
    "bindsnet": "bindsnet",
    "braincog": "braincog",
    "norse": "norse",
    "rockpool": "rockpool",
    "sinabs": "sinabs",
    "snntorch": "snntorch",
    "spikingjelly": "spikingjelly",
    "tracetorch": "tracetorch",
}

# The oldest release of each that ahsar is tested with.
LEAST = {
    "bindsnet": "BindsNET 0.3.4",
    "braincog": "BrainCog 0.2.7",
    "norse": "Norse 1.1",
    "rockpool": "Rockpool 3.1",
    "sinabs": "sinabs 3.1",
    "snntorch": "snnTorch 1.0",
    "spikingjelly": "SpikingJelly 0.0.0.0.14",
    "tracetorch": "tracetorch 0.19",
}

_user: dict[type, Adapter | Skip] = {}
_known: dict[str, dict[type, Adapter | Skip] | Skip] = {}


def register(cls: type, entry: Adapter | Skip) -> None:
    """Add an entry of the user's; it wins over every built-in one, for `cls` and its subclasses."""
    _user[cls] = entry


def unregister(cls: type) -> None:
    """Forget an entry of the user's; no error if there is none."""
    _user.pop(cls, None)


def is_own(module: nn.Module) -> bool:
    """Whether the module's class is a framework's own, and no method of it was replaced on the module."""
    # what PyTorch derives (FSDP, parametrizations) changes no forward
    kind = next((cls for cls in type(module).__mro__ if package_of(cls) != "torch"), nn.Module)
    return package_of(kind) in FRAMEWORKS and not any(_replaces(kind, name, value) for name, value in module.__dict__.items())


def _replaces(kind: type, name: str, value: Any) -> bool:
    """Whether this attribute of a module stands for a method of its class, and is not ours."""
    known = name != "forward" and hasattr(nn.Module, name)
    return not known and callable(value) and callable(getattr(kind, name, None)) and package_of(value) != "ahsar"


def package_of(thing: Any) -> str:
    """The package that a class or function is from."""
    return str(getattr(thing, "__module__", "")).partition(".")[0]


def find(module: nn.Module) -> Adapter | Skip | None:
    """The entry of the nearest class in the module's method resolution order, or None for an ordinary module."""
    ancestry = type(module).__mro__
    for cls in ancestry:
        if cls in _user:
            return _user[cls]
    for cls in ancestry:
        root = package_of(cls)
        if root not in FRAMEWORKS:
            continue
        if root not in _known:
            _known[root] = _entries_of(root)
        entries = _known[root]
        if isinstance(entries, Skip):
            return entries if _has_threshold(module) else None
        if cls in entries:
            return entries[cls]
    return None


def _entries_of(root: str) -> dict[type, Adapter | Skip] | Skip:
    """What is known of a framework, or why nothing is: its release may be another than those that its file was written for."""
    fault: Exception | None = None
    try:
        if entries := importlib.import_module(f"{__package__}.{FRAMEWORKS[root]}").entries():
            return entries
    except (ImportError, AttributeError) as error:
        fault = error
    release, why = LEAST[root], f" ({type(fault).__name__}: {fault})" if fault else ""
    framework = release.split()[0]
    return Skip(
        framework,
        f"the installed {framework} lacks what ahsar looks for{why}: it supports {release} and later. Upgrade, or give "
        "the class to ahsar.register_adapter",
    )


def _has_threshold(module: nn.Module) -> bool:
    """Whether a module keeps something like a threshold, as neurons do, and not their surrogates or layers of weights."""
    stores = [value if isinstance(value, dict) else getattr(value, "_fields", ()) for value in module.__dict__.values()]
    names = [str(name) for store in [module.__dict__, *stores] for name in store]
    return any("thresh" in name or name == "v_th" for name in names)
