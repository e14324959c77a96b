"""A twin that is never attached: its thresholds are multiplied by hand, by the attribute that each framework documents."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from tests.adapters.case import Case

Place = tuple[nn.Module, str]


def attributes(case: Case) -> list[str]:
    return [case.attribute] if case.second is None else [case.attribute, case.second]


def kind(case: Case) -> str:
    """What the threshold is in what the module stores: "logit" and "softplus" where it is a function of that."""
    if case.attribute.startswith("raw_"):
        return "softplus"
    return "logit" if case.name.startswith("GatedLIF") or "-sigmoid" in case.name else "plain"


def scaled(case: Case, stored: Any, scale: float) -> Any:
    """What the module would store had its user set rest + s (θ − rest)."""
    if not isinstance(stored, Tensor):
        return scale * stored if case.rest == 0 else case.rest + scale * (stored - case.rest)
    theta, own = torch.tensor(scale), stored.detach()
    if kind(case) == "softplus":
        wide = own.double()
        theta = scale * nn.functional.softplus(wide)
        return (theta + (-torch.expm1(-theta)).log()).to(own.dtype)
    if kind(case) == "logit":
        return torch.logit((scale * own.double().sigmoid()).clamp(max=1 - 1e-6)).to(own.dtype)
    dtype = own.dtype if own.is_floating_point() else torch.float32
    return (own * theta if case.rest == 0 else case.rest + theta * (own - case.rest)).to(dtype)


def put(module: nn.Module, path: str, value: Any) -> None:
    """Set an attribute, or a field of a tuple that the module keeps (dots lead there)."""
    root, *fields = path.split(".")
    before = getattr(module, root)
    if fields:
        value = _with_field(before, fields, value)
    store: Any = next((s for s in (module._parameters, module._buffers) if root in s), module.__dict__)
    if store is module.__dict__:
        setattr(module, root, value)
    else:
        store[root] = value
        _follow(module, before, value)


def _follow(module: nn.Module, before: Any, value: Any) -> None:
    """Put it into the tuples of parameters that hold the same tensor, too."""
    for name, held in list(vars(module).items()):
        same = [field for field in getattr(held, "_fields", ()) if getattr(held, field) is before]
        if same:
            setattr(module, name, held._replace(**dict.fromkeys(same, value)))


def _with_field(tree: Any, fields: list[str], value: Any) -> Any:
    name, *inner = fields
    return tree._replace(**{name: _with_field(getattr(tree, name), inner, value) if inner else value})


def start(case: Case, module: Any, scale: float) -> Any:
    """Scale what the membrane starts from, where the framework builds it from the threshold; what it was before."""
    before = module._memories_rv["v"] if case.name.startswith("HalfThreshold") else None
    if before is not None:
        start_from(module, scale * before)
    return before


def start_from(module: Any, value: Any) -> None:
    module.set_reset_value("v", value)
    if isinstance(module.v, float):
        module.v = value


@contextmanager
def multiplied(layers: Mapping[str, tuple[Case, nn.Module]], scales: Mapping[str, float]) -> Iterator[None]:
    """The thresholds of a model's layers times their scales, within; gradients to a threshold go to the original."""
    undo: list[tuple[Case, nn.Module, str, Any, Any, float]] = []
    starts: list[tuple[nn.Module, Any]] = []
    for name, (case, module) in layers.items():
        scale = scales.get(name, 1.0)
        if scale == 1.0:
            continue
        for path in attributes(case):
            own = attrgetter(path)(module)
            value = scaled(case, own, scale)
            if isinstance(own, nn.Parameter):
                value = nn.Parameter(value, requires_grad=own.requires_grad)
            put(module, path, value)
            undo.append((case, module, path, own, value, scale))
        if (before := start(case, module, scale)) is not None:
            starts.append((module, before))
    try:
        yield
    finally:
        for case, module, path, own, value, scale in undo:
            put(module, path, own)
            grad = getattr(value, "grad", None)
            if grad is not None:
                grad = grad * case.slope(own.detach(), scale)
                own.grad = grad if own.grad is None else own.grad + grad
        for module, before in starts:
            start_from(module, before)
