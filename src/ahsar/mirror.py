"""A copy of a model that runs at the model's scales: averaged weights, a target network, a teacher."""

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import nn

from . import verdict
from .discovery import discover
from .errors import AttachError
from .layer import Group, Layer, layers_of
from .regulator import Regulator
from .state import ControllerState

# what wrappers put into the names of modules
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


class Mirror:
    """Passes scales on to the controller of a copy, for as long as there is one.

    Args:
        twin: of the copy; kept by the copy alone.
        names: which layer of the original each layer of the copy stands for; one that stands for none gets a scale of 1.
    """

    def __init__(self, twin: Regulator, names: Mapping[str, str]):
        self._twin, self._names = weakref.ref(twin), names

    @property
    def twin(self) -> Regulator | None:
        """The controller of the copy, or None once it is gone, detached or baked."""
        twin = self._twin()
        return twin if twin is not None and twin.group.hooked else None

    def __call__(self, state: ControllerState) -> None:
        """Write the scales of the original's state."""
        if (twin := self.twin) is None:
            return
        own, one = twin.state, torch.ones((), device=twin.state.device)
        theirs = dict(zip(state.names, state.scale.to(own.device).unbind(), strict=True))
        pairs = [(name, self._names.get(name, "")) for name in own.names]
        held = None if state.held is None else {name: state.held.get(other, 1.0) for name, other in pairs}
        twin.become(replace(own, scale=torch.stack([theirs.get(other, one) for _, other in pairs]), held=held))


def copied(copy: nn.Module, original: Group) -> Group:
    """The layers of a copy: its own if it is attached, else new ones for those of `original`, not hooked yet.

    Raises:
        AttachError: it is no copy: it lacks a layer, is part of the model itself, or holds attached models of several kinds.
    """
    if not isinstance(copy, nn.Module):
        raise AttachError(f"mirror() needs a torch.nn.Module, not a {type(copy).__name__}")
    groups = {id(layer.group): layer.group for layer in layers_of(copy)}
    if id(original) in groups or len(groups) > 1:
        raise AttachError("mirror() of a model that holds the attached model itself, or several: give it the copy alone")
    if groups:
        return next(iter(groups.values()))
    found = {item.name: item for item in discover(copy) if item.reason is None}
    chosen = [found[name] for name in paired([layer.name for layer in original.layers], found)]
    if refused := verdict.refusals(copy, chosen):
        raise AttachError(f"mirror(): {verdict.sentence(refused)}")
    group = Group()
    for item in chosen:
        assert item.adapter is not None
        Layer(item.name, item.module, item.adapter, group, original.layers[0].compile)
    return group


def paired(originals: Iterable[str], copies: Iterable[str]) -> dict[str, str]:
    """Which original each name among the copies stands for: the same but for what wrappers add.

    Raises:
        AttachError: some original has no copy.
    """
    by_name: dict[str, str] = {}
    for name in copies:
        by_name.setdefault(_plain(name), name)
    originals = list(originals)
    if missing := [name for name in originals if _plain(name) not in by_name]:
        raise AttachError(
            f"mirror() of a model that is no copy of this one: it has no layer {', '.join(map(repr, missing))}, but "
            f"{', '.join(map(repr, by_name.values())) or 'none'}. Give it the copied model, without what it is part of"
        )
    return {by_name[_plain(name)]: name for name in originals}


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def follow(regulator: Regulator, twin: Regulator) -> None:
    """Have `twin`, hooked, take over all scales of `regulator` from now on, and control nothing itself.

    Raises:
        AttachError: the original follows this copy already.
    """
    names = paired([layer.name for layer in regulator.group.layers], [layer.name for layer in twin.group.layers])
    if _passes_on(twin, regulator):
        raise AttachError("mirror() of a model that this one is the mirror of: call it on the one that is to control")
    twin.paused = True
    twin.group.answers.remove()
    twin.sense_when_due()
    mirror = Mirror(twin, names)
    mirror(regulator.state)
    regulator.mirrors = [*(other for other in regulator.mirrors if other.twin not in (None, twin)), mirror]


def _passes_on(one: Regulator, other: Regulator) -> bool:
    """Whether the scales of `one` arrive at `other`."""
    twins = [mirror.twin for mirror in one.mirrors]
    return any(twin is other or _passes_on(twin, other) for twin in twins if twin is not None)
