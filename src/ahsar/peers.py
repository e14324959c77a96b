"""The ranks that train one model: whose spikes are summed, and whose are not.

A process group may be up although each rank trains a model of its own. So the group is that of a wrapper
(DistributedDataParallel, FSDP), or the user's word. Where neither tells, gradients may be averaged by hand: then the ranks
compare their weights before anything is summed.
"""

import datetime
import itertools
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from . import distributed
from .errors import AttachError
from .joining import Joining

PATIENCE = 120.0  # seconds for which a rank waits for the weights of the others
COMPARISONS = 2  # a warm-up may begin at a learning rate of 0, which leaves weights alike that will differ
_meetings = itertools.count()
_CURE = (
    "If each rank trains a model of its own, attach(..., process_group=False); if some ranks train this one together, "
    "process_group=their_group; if all do, process_group=torch.distributed.group.WORLD, and start from the same weights"
)


class Peers:
    """Which ranks these are.

    Args:
        model: in which wrappers are looked for. It may be wrapped later as well.
        chosen: a process group of `torch.distributed`, False for this rank alone, or None to find out.

    Attributes:
        group: the process group, None for all ranks.

    Raises:
        AttachError: `chosen` is none of these, or this rank is not in the group.
    """

    def __init__(self, model: nn.Module | None = None, chosen: Any = None) -> None:
        if chosen is not None and chosen is not False:
            _check(chosen)
        self._alone, self.group = chosen is False, chosen or None
        self._settled, self._compared = chosen is not None, 0
        self._model = nn.Identity() if model is None else model
        self._around: dict[Any, Joining] = {}
        self._step: Callable[[], None] = lambda: None

    def begin(self, step: Callable[[], None]) -> None:
        """Look for wrappers within the model; `step` takes a step of the controller."""
        self._step = step
        for module in nn.Module.modules(self._model):
            if isinstance(module, nn.parallel.DistributedDataParallel):
                self._note(module)

    def end(self) -> None:
        """Let go of the wrappers."""
        for joining in self._around.values():
            joining.end()
        self._around.clear()

    def turn(self) -> None:
        """Note a step of the controller, on this rank or of one that stands in for it."""
        for joining in self._around.values():
            joining.turn()

    def pause(self, paused: bool) -> None:
        """Note whether steps are taken from now on."""
        for joining in self._around.values():
            joining.paused = paused

    def active(self) -> bool:
        """Whether there are more of them than this one."""
        return not self._alone and distributed.active(self.group)

    def look(self) -> None:
        """See, within a forward, whether it is that of a DistributedDataParallel around the model."""
        around = getattr(nn.parallel.DistributedDataParallel, "_active_ddp_module", None)
        if around is not None and around not in self._around:
            self._note(around)

    def _note(self, around: Any) -> None:
        if not self._alone:
            self._around[around] = Joining(around, self._step)

    def settle(self) -> None:
        """Find out at the first updates, before anything is summed.

        Raises, on every rank alike:
            AttachError: they train different models, or not all of them train; or it cannot be told.
        """
        if self._settled or not distributed.active():
            return
        groups = list({id(group): group for group in _groups(self._model, self._around)}.values())
        if len(groups) > 1:
            raise AttachError(
                "the model is wrapped with several process groups, so it cannot be told whose spikes to sum. " + _CURE
            )
        if groups:
            self._settled, self.group = True, groups[0]
            return
        _compare(_sums(self._model))
        self._compared += 1
        self._settled = self._compared == COMPARISONS

    def __getstate__(self) -> dict[str, Any]:
        # process groups cannot be copied, and the copy of a model is in no wrapper
        return {**self.__dict__, "group": None, "_settled": self._alone, "_compared": 0, "_around": {}}


def _check(chosen: Any) -> None:
    if not dist.is_available() or not dist.is_initialized():
        raise AttachError("attach(process_group=...): call torch.distributed.init_process_group() first")
    if chosen == dist.GroupMember.NON_GROUP_MEMBER:
        raise AttachError("attach(process_group=...): this rank is not in the group; attach on the ranks that train the model")
    if not isinstance(chosen, dist.ProcessGroup):
        raise AttachError(
            f"attach(process_group=...): a {type(chosen).__name__} is no group of torch.distributed; False is this rank alone"
        )


def _groups(model: nn.Module, around: Iterable[Any]) -> Iterable[Any]:
    """The process groups of wrappers around the model, or within it."""
    yield from (module.process_group for module in around)
    for weight in nn.Module.parameters(model):
        mesh: Any = getattr(weight, "device_mesh", None)  # FSDP2, and tensor parallelism
        if mesh is not None:
            if mesh.size() == dist.get_world_size():
                yield dist.group.WORLD
            elif mesh.ndim == 1:
                yield mesh.get_group()
            else:
                raise AttachError("the model's device mesh has several dimensions and not all ranks. " + _CURE)


@torch.no_grad()
def _sums(model: nn.Module) -> list[list[float]]:
    """Of each weight its sum, and that of its values without sign. Copies from the device."""
    found = []
    for weight in nn.Module.parameters(model):
        wide = torch.float64 if weight.device.type in ("cpu", "cuda") else torch.float32
        values = torch.view_as_real(weight) if weight.is_complex() else weight
        found.append(torch.stack([values.sum(dtype=wide), values.abs().sum(dtype=wide)]).cpu())
    return torch.stack(found).tolist() if found else []


def _compare(mine: list[list[float]]) -> None:
    """Raise on every rank unless all have the same weights.

    It goes through the store by which the ranks met: a collective would meet another one of ranks that do something else.
    """
    store, rank, number = dist.distributed_c10d._get_default_store(), dist.get_rank(), next(_meetings)
    store.set(f"ahsar/{number}/{rank}", json.dumps(mine))
    for other in range(dist.get_world_size()):
        key = f"ahsar/{number}/{other}"
        try:
            store.wait([key], datetime.timedelta(seconds=PATIENCE))
        except RuntimeError:
            raise AttachError(
                f"rank {rank} takes an update, and rank {other} none within {PATIENCE:g} s: they do not train together. "
                + _CURE
            ) from None
        if not _same(mine, json.loads(store.get(key))):
            raise AttachError(
                f"ranks {rank} and {other} hold different weights, so their spikes are not summed. No wrapper "
                "(DistributedDataParallel, FSDP) tells of ranks that train together. " + _CURE
            )


def _same(one: list[list[float]], other: list[list[float]]) -> bool:
    """Up to the rounding of a sum; NaN is NaN."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=0, abs_tol=1e-9 * size) or a == b or (a != a and b != b)
        for (a, size), (b, _) in zip(one, other, strict=True)
    )
