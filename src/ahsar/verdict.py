"""What `attach` makes of a model and its layers before it touches them. `ahsar inspect` shows the same."""

from collections.abc import Iterable, Sequence
from statistics import median

import torch
from torch import Tensor, nn

from . import tracing
from .discovery import Found
from .errors import AhsarError
from .layer import layers_of

# A threshold so many times those of the other layers is not meant to be reached, and no scale brings it near.
FAR = 1000.0
_LATE = (
    "it is in a compiled model, where hooks added now never fire: attach first, then call torch.compile(model) or "
    "model.compile()"
)


def refusal_of_model(model: nn.Module) -> str | None:
    """Why nothing of this model can be regulated, or None."""
    if any(isinstance(module, nn.DataParallel) for module in nn.Module.modules(model)):
        return (
            "nn.DataParallel replicates modules in every forward, so rates sensed in the replicas are lost: "
            "use torch.nn.parallel.DistributedDataParallel"
        )
    if layers_of(model):
        return "this model, or a part of it, is attached already: call detach() or bake() on its Homeostat first"
    return None


def refusals(model: nn.Module, layers: Iterable[Found]) -> dict[str, str]:
    """Why layers that an adapter can regulate cannot be as they are, by name; those that can be are not in it."""
    compiled = _within_compiled(model)
    reasons = {item.name: _LATE if item.module in compiled else _of_threshold(item) for item in layers}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def sentence(refused: dict[str, str]) -> str:
    """Layers and why they are refused; those of one reason together."""
    names: dict[str, list[str]] = {}
    for name, reason in refused.items():
        names.setdefault(reason, []).append(repr(name))
    return "; ".join(f"layer {', '.join(alike)}: {reason}" for reason, alike in names.items())


def too_high(layers: Iterable[Found]) -> dict[str, str]:
    """Layers that are to be left alone since their threshold is a way to say "never", by name, each with the reason.

    `layers`: none of which `refusals` names.
    """
    values = {item.name: _threshold(item) for item in layers}
    known = {name: value - rest for name, (value, rest) in values.items() if _is_known(value)}
    typical = {name: distance.median().item() for name, distance in known.items()}
    far = {}
    for name, distance in known.items():
        others = [level for other, level in typical.items() if other != name]
        if others and distance.min().item() > FAR * median(others):
            far[name] = (
                f"its threshold, {in_words(values[name][0])}, is out of reach: more than {FAR:g} times those of the other "
                "layers"
            )
    return far


def in_words(threshold: Tensor) -> str:
    """A threshold of any shape, in a few characters."""
    if not _is_known(threshold):
        return "not known yet"
    low, high = threshold.min().item(), threshold.max().item()
    return f"{low:.4g}" if threshold.numel() == 1 or low == high else f"{low:.4g} … {high:.4g}"


def _is_known(value: Tensor) -> bool:
    """Whether there is anything to look at yet."""
    return value.numel() > 0 and not value.is_meta and tracing.has_values(value)


def _within_compiled(model: nn.Module) -> set[nn.Module]:
    """The modules in compiled ones. What is compiled elsewhere in the model does no harm."""
    # by name: importing torch._dynamo takes seconds
    modules = nn.Module.modules(model)
    compiled = [m for m in modules if m._compiled_call_impl is not None or type(m).__name__ == "OptimizedModule"]
    return {part for module in compiled for part in nn.Module.modules(module)}


def _threshold(item: Found) -> tuple[Tensor, float]:
    """A layer's threshold and its rest."""
    assert item.adapter is not None
    writer = item.adapter.threshold(item.module)
    return writer.value(item.module), writer.rest


def _of_threshold(item: Found) -> str | None:
    try:
        value, rest = _threshold(item)
    except AhsarError as error:
        return str(error)
    except AttributeError as error:
        return of_another_release(item, error)
    if not _is_known(value):
        return None
    bad = ~((value > rest) & value.isfinite())
    if not bool(bad.any()):
        return None
    return (
        f"{_worst(value, bad)} not finite and above rest ({rest:g}), so it cannot be scaled; give a positive threshold, "
        "register the class with rest=, or with through= if forward takes it through softplus, exp or sigmoid, or leave the "
        "layer out with layers="
    )


def of_another_release(item: Found, error: AttributeError) -> str:
    """What it means that an adapter did not find what it reads."""
    return (
        f"its {item.framework} is of another release than those that ahsar knows ({error}): upgrade it, or give the class to "
        "ahsar.register_adapter"
    )


def _worst(value: Tensor, bad: Tensor) -> str:
    """Which thresholds are bad: the least of them, its place and how many there are."""
    wrong = value[bad]
    least = int(torch.where(wrong.isnan(), -torch.inf, wrong).argmin())
    if value.numel() == 1:
        return f"its threshold, {wrong.item():g}, is"
    place: Sequence[int] = bad.nonzero()[least].tolist()
    return (
        f"{len(wrong)} of its {value.numel()} thresholds, the least of them {wrong[least].item():g} at {place}, "
        f"{'is' if len(wrong) == 1 else 'are'}"
    )
