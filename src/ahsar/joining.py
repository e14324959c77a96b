"""`DistributedDataParallel.join()`: a rank that has run out of data takes the updates of the others along."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.algorithms.join import JoinHook

from .errors import AttachError

_CURE = (
    "Give every rank as many batches (DistributedSampler does), or train within homeostat.paused() while join() is on, or say "
    "join(throw_on_early_termination=True)"
)


class Joining:
    """What the `join()` of one wrapper means for a controller: behind each backward that sends gradients comes one step, and a
    rank that has run out takes it without data.

    Attributes:
        paused: whether the controller takes no steps.
    """

    def __init__(self, around: Any, step: Callable[[], None]) -> None:
        self._around, self._step = around, step
        self.paused = False
        self._entered, self._owes = False, False
        self._handle: Any = None
        self._hook = around.join_hook = functools.partial(_join_hook, self, around.join_hook)

    def end(self) -> None:
        """Give the wrapper its own `join()` back."""
        if vars(self._around).get("join_hook") is self._hook:
            del self._around.join_hook
        self._step = lambda: None
        self._leave()

    def turn(self) -> None:
        """Note a step of the controller.

        Raises:
            AttachError: the others would not take it along.
        """
        if self.paused or not self._may_run_out():
            return
        if not self._entered:
            raise AttachError(
                "an update within DistributedDataParallel.join() of a model that was wrapped after attach and did not run "
                f"before: ranks that run out of data take no part in it. Attach after wrapping. {_CURE}"
            )
        if not self._owes:
            raise AttachError(f"two updates behind one backward within DistributedDataParallel.join(). {_CURE}")
        self._owes = False

    def shadow(self) -> None:
        """Take the step of ranks that still have data, if this backward sent gradients: not while they are accumulated."""
        if self._around._join_config.is_first_joinable and self._around.require_forward_param_sync:
            self._owes = True
            self._step()

    def enter(self) -> None:
        """A context of `join()` begins: watch for an update behind each of its backwards."""
        self._leave()
        self._entered, self._owes = True, False
        self._handle = self._around.register_forward_pre_hook(self._forward)

    def _leave(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _forward(self, around: Any, args: Any) -> None:
        if self.paused or not self._may_run_out():
            return
        if self._owes:
            raise AttachError(
                "a backward without an update behind it within DistributedDataParallel.join(), as where GradScaler skips a "
                f"step or gradients are accumulated without no_sync(): ranks without data wait for one. {_CURE}"
            )
        self._owes = around.require_backward_grad_sync and torch.is_grad_enabled()

    def _may_run_out(self) -> bool:
        join = self._around._join_config
        return join.enable and join.is_first_joinable and not join.throw_on_early_termination


class _Shadow(JoinHook):
    def __init__(self, own: Any, joining: Joining) -> None:
        self._own, self._joining = own, joining

    def main_hook(self) -> None:
        self._own.main_hook()
        self._joining.shadow()

    def post_hook(self, is_last_joiner: bool) -> None:
        self._own.post_hook(is_last_joiner)
        self._joining._leave()


def _join_hook(joining: Joining, own: Callable[..., Any], **kwargs: Any) -> JoinHook:
    joining.enter()
    return _Shadow(own(**kwargs), joining)
