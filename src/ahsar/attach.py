"""Finding the spiking layers of a model and hooking them: everything is checked before anything is touched."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from .adapters import Adapter, Skip, find
from .config import Config
from .errors import AhsarError, AttachError
from .homeostat import Homeostat
from .layer import Layer, layers_of

Selection = Callable[[str, nn.Module], bool] | Iterable[str] | None


@dataclass(frozen=True)
class Found:
    """A module that an adapter knows: `reason` is None if it can be regulated, else why it is skipped."""

    name: str
    module: nn.Module
    framework: str
    adapter: Adapter | None
    reason: str | None


def discover(model: nn.Module) -> list[Found]:
    """Every module of `model` that an adapter knows, in order of definition; a shared module once. Changes nothing."""
    found = []
    for name, module in model.named_modules():
        entry = find(module)
        if isinstance(entry, Skip):
            found.append(Found(name, module, entry.framework, None, entry.reason))
        elif isinstance(entry, Adapter):
            found.append(Found(name, module, entry.framework, entry, entry.refuse(module)))
    return found


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    config: Config | None = None,
    layers: Selection = None,
    compile: bool = False,
) -> Homeostat:
    """Regulate the firing rates of a model's spiking layers while it trains.

    Args:
        model: contains layers of a supported framework, or of a class given to `ahsar.register_adapter`. Attach before
            compiling, and before wrapping in DistributedDataParallel or after it.
        optimizer: the fast loop steps after each of its steps. Without one, call `homeostat.step()`.
        config: the constants; default `Config()`.
        layers: which layers to regulate: a predicate `(name, module) -> bool`, or names. Default: all.
        compile: the model will be given to `torch.compile`. Thresholds that are numbers become tensors, which can change
            without compiling anew, and SpikingJelly's neurons use its PyTorch code, since its own operations take numbers
            only. Code that was compiled in this process is forgotten once, and compiled code henceforth looks at hooks,
            lest a model with a controller runs code of one without. Needless, and perhaps slower, if nothing is compiled.

    Returns:
        The controller.

    Raises:
        AttachError: the model is attached already, is a DataParallel, is compiled, has no spiking layer, or a threshold is
            not positive. The model is as it was.
    """
    return attach_as(Homeostat, model, optimizer, config=config, layers=layers, compile=compile)


def attached(model: nn.Module) -> Homeostat | None:
    """The controller that a model is attached to, or None. A copy of an attached model has its own, which nothing steps."""
    layers = layers_of(model)
    return layers[0].owner if layers else None


def attach_as(
    kind: type[Homeostat],
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    config: Config | None = None,
    layers: Selection = None,
    compile: bool = False,
) -> Homeostat:
    """`attach` with a controller of another class, for experiments."""
    if not isinstance(model, nn.Module):
        raise AttachError(f"attach() needs a torch.nn.Module, not a {type(model).__name__}")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise AttachError(f"attach(): the optimizer is a {type(optimizer).__name__}, not a torch.optim.Optimizer")
    if isinstance(model, nn.DataParallel) or any(isinstance(m, nn.DataParallel) for m in nn.Module.modules(model)):
        raise AttachError(
            "nn.DataParallel replicates modules in every forward, so rates sensed in the replicas are lost: "
            "use torch.nn.parallel.DistributedDataParallel"
        )
    if layers_of(model):
        raise AttachError("this model, or a part of it, is attached already: call detach() or bake() on its Homeostat first")
    chosen = _select(model, discover(model), layers)
    _refuse_compiled(model, chosen)
    homeostat = Homeostat.__new__(kind)
    built = [_build(found, homeostat, compile) for found in chosen]
    kind.__init__(homeostat, model, config or Config(), built)
    if compile:
        _guard_hooks()
    try:
        for layer in built:
            layer.hook()
        if optimizer is not None:
            homeostat.follow(optimizer)
    except BaseException:
        homeostat.detach()
        raise
    return homeostat


def _select(model: nn.Module, found: list[Found], layers: Selection) -> list[Found]:
    usable = [item for item in found if item.adapter is not None and item.reason is None]
    if not usable:
        raise AttachError(_nothing_found(model, found))
    if layers is None:
        return usable
    if callable(layers):
        chosen = [item for item in usable if layers(item.name, item.module)]
    else:
        names = [layers] if isinstance(layers, str) else list(layers)
        unknown = [name for name in names if name not in {item.name for item in usable}]
        if unknown:
            skipped = {item.name: item.reason for item in found if item.reason is not None}
            raise AttachError(
                "layers= names "
                + ", ".join(f"{name!r} ({skipped.get(name, 'no spiking layer')})" for name in unknown)
                + f"; the spiking layers are {', '.join(item.name for item in usable)}"
            )
        chosen = [item for item in usable if item.name in names]
    if not chosen:
        raise AttachError(f"layers= selects none of the spiking layers: {', '.join(item.name for item in usable)}")
    return chosen


def _refuse_compiled(model: nn.Module, chosen: list[Found]) -> None:
    """Hooks that come after the compiler never fire. What is compiled elsewhere in the model does no harm."""
    # by name: importing torch._dynamo takes seconds
    modules = nn.Module.modules(model)
    compiled = [m for m in modules if m._compiled_call_impl is not None or type(m).__name__ == "OptimizedModule"]
    inside = {part for module in compiled for part in nn.Module.modules(module)}
    late = [item.name for item in chosen if item.module in inside]
    if late:
        raise AttachError(
            f"layer {', '.join(map(repr, late))} is in a compiled model, where hooks added now never fire: attach first, then "
            "call torch.compile(model) or model.compile()"
        )


def _guard_hooks() -> None:
    """Have compiled code check for hooks: by default, models of one class share it whether they have any or not."""
    import torch._dynamo.config as settings

    if settings.skip_nnmodule_hook_guards:
        settings.skip_nnmodule_hook_guards = False
        torch.compiler.reset()


def _build(found: Found, homeostat: Homeostat, compile: bool) -> Layer:
    assert found.adapter is not None
    try:
        layer = Layer(found.name, found.module, found.adapter, homeostat, compile)
        value = layer.threshold.value(found.module)
    except AhsarError as error:
        raise AttachError(f"layer {found.name!r}: {error}") from error
    above_rest = value - layer.threshold.rest
    if above_rest.is_meta:  # nothing to look at yet
        return layer
    if not bool(((above_rest > 0) & torch.isfinite(above_rest)).all()):
        raise AttachError(
            f"layer {found.name!r} ({type(found.module).__name__}): threshold {value.tolist()} is not above rest "
            f"({layer.threshold.rest:g}), so it cannot be scaled; give a positive threshold, register the class with rest=, "
            "or leave the layer out with layers="
        )
    return layer


def _nothing_found(model: nn.Module, found: list[Found]) -> str:
    seen = sorted({type(module).__name__ for module in nn.Module.modules(model)})
    message = f"no spiking layer to regulate in {type(model).__name__}. Module types seen: {', '.join(seen)}. "
    if found:
        message += "Skipped: " + "; ".join(f"{item.name} ({item.reason})" for item in found) + ". "
    return message + (
        'For neurons of your own: ahsar.register_adapter(MyNeuron, threshold="its_attribute", spikes=0) before attach'
    )
