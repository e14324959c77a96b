"""Hooking the spiking layers of a model: everything is checked before anything is touched."""

from typing import Any

import torch
from torch import nn

from . import checks, controller, verdict, warned
from .config import Config, given
from .controller import Scales
from .discovery import Selection, outside, select
from .errors import AhsarError, AttachError
from .following import innermost
from .homeostat import Homeostat
from .layer import Group, Layer, layers_of
from .peers import Peers


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    config: Config | None = None,
    layers: Selection = None,
    compile: bool = False,
    scales: Scales = controller.scales,
    process_group: Any = None,
) -> Homeostat:
    """Regulate the firing rates of a model's spiking layers while it trains.

    Args:
        model: contains layers of a supported framework, or of a class given to `ahsar.register_adapter`. Attach before
            compiling, and before wrapping in DistributedDataParallel or after it.
        optimizer: the fast loop steps after each of its steps, or of those of the one within a wrapper. Without one, call
            `homeostat.step()`; for another one, in a next phase of training, `homeostat.follow()`.
        config: the constants; default `Config()`.
        layers: which layers to regulate: a predicate `(name, module) -> bool`, names, or "all". Default: all but those whose
            spikes are the model's answer, as the first training step shows: their rates are not to be regulated. They are in
            `homeostat.left_alone` from the first update on. In a model that will be compiled they cannot be told.
        compile: the model will be given to `torch.compile`. Thresholds that are numbers become tensors, which can change
            without compiling anew, and SpikingJelly's neurons use its PyTorch code, since its own operations take numbers
            only. Code that was compiled in this process is forgotten once, and compiled code henceforth looks at hooks,
            lest a model with a controller runs code of one without. Needless, and perhaps slower, if nothing is compiled.
        scales: what a scale is made of, for experiments: takes the controller's state and constants, gives one factor > 0
            per layer, [L], in the order of `state.names`. A function of a module, so that attached models can be copied.
        process_group: the ranks over which spikes are summed, a group of `torch.distributed`; False: this rank alone, whose
            model is its own. Default: the group of the DistributedDataParallel, or of the device mesh of FSDP, that the model
            is wrapped in. Without such a wrapper all ranks, if they hold the same weights at the first updates; if not, the
            first step says so on every rank.

    Returns:
        The controller.

    Raises:
        AttachError: the model is attached already, is a DataParallel, is compiled, has no spiking layer, or a threshold is
            not positive; this rank is not in the process group; or the optimizer trains another model that is built alike. The
            model is as it was.
        ConfigError: `config` is no Config.

    Examples:
        >>> model = nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(3, 2))
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> homeostat = ahsar.attach(model, optimizer)
        >>> model(torch.zeros(5, 2)).sum().backward()
        >>> optimizer.step()  # the layer was silent, so its threshold falls
        >>> homeostat.scales["1"] < 1
        True
    """
    if not isinstance(model, nn.Module):
        raise AttachError(f"attach() needs a torch.nn.Module, not a {type(model).__name__}")
    if optimizer is not None:
        innermost(optimizer, "attach()")
    constants = given(config, "attach()")
    if not callable(scales):
        raise AttachError(f"attach(): scales is a {type(scales).__name__}, not a function of the state and the constants")
    if (refusal := verdict.refusal_of_model(model)) is not None:
        raise AttachError(refusal)
    chosen = select(model, layers)
    if refused := verdict.refusals(model, chosen):
        raise AttachError(verdict.sentence(refused))
    group = Group()
    if layers is None or callable(layers) or layers == "all":
        warned.say(group.said, checks.kept_outside([item.name for item in outside(model)]))
    group.peers = Peers(model, process_group)
    for item in chosen:
        assert item.adapter is not None
        try:
            Layer(item.name, item.module, item.adapter, group, compile)
        except AhsarError as error:
            raise AttachError(f"layer {item.name!r}: {error}") from error
        except AttributeError as error:
            kind = type(item.module).__name__
            raise AttachError(f"layer {item.name!r} ({kind}): {verdict.of_another_release(item, error)}") from error
    if layers is None:
        group.too_high = verdict.too_high(chosen)
    homeostat = Homeostat(model, constants, group, scales)
    if compile:
        _guard_hooks()
    try:
        for layer in group.layers:
            layer.hook()
        if layers is None and group.layers[0].module is not model:
            # hooks that go after the first step would have everything compiled anew
            group.answers.watch(model, [] if compile else [layer.module for layer in group.layers])
        if optimizer is not None:
            homeostat.follow(optimizer)
    except BaseException:
        homeostat.detach()
        raise
    return homeostat


def attached(model: nn.Module) -> Homeostat | None:
    """The controller that a model is attached to, or None. A copy of an attached model has its own, which nothing steps.

    Examples:
        >>> model = nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9))
        >>> ahsar.attached(model) is None
        True
        >>> ahsar.attach(model) is ahsar.attached(model)
        True
    """
    layers = layers_of(model)
    return layers[0].group.homeostat if layers else None


def _guard_hooks() -> None:
    """Have compiled code check for hooks: by default, models of one class share it whether they have any or not."""
    import torch._dynamo.config as settings

    if settings.skip_nnmodule_hook_guards:
        settings.skip_nnmodule_hook_guards = False
        torch.compiler.reset()
