"""A net that can be attached, and its twin that never is: each action is done to both, and both are compared."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from hypothesis import assume
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ahsar
from ahsar.answers import ANSWER
from tests.adapters.case import BATCH, Case

from .common import quiet
from .law import check_update
from .nets import BY_NAME, Net, Plan, seed
from .twin import attributes, multiplied, scaled


def attempt(function: Callable[[], Any]) -> Any:
    """What it returned, or the exception that it raised: a framework may not be able to."""
    try:
        return function()
    except Exception as error:
        return error


class Pair:
    """A model, its twin, and what is expected of the model's controller.

    Attributes:
        homeostat: of the model, or None.
        follows: whether the controller follows the model's optimizer.
        sums: spikes and outputs that the controller should have counted since its last update, by layer.
        forgotten: whether rates that were known are not, as weights that carry other scales were loaded.
        exact: whether the two are equal bit for bit. Where a threshold is a function of what is stored, lies above a rest, or
            is learned, the reference rounds otherwise, and compiled nets run other code: there they are close, and the twin is
            set to the model's numbers after each comparison, lest differences add up.
    """

    def __init__(self, plan: Plan):
        self.plan, self.model, self.twin = plan, Net(plan), Net(plan)
        self.twin.counts = True
        self.homeostat: ahsar.Homeostat | None = None
        self.follows = self.compile = self.in_eval = self.set_anew = self.forgotten = False
        self.sums: dict[str, tuple[float, int]] = {}
        self.dtype, self.compiled, self.exact = torch.float32, None, plan.exact
        self.optimize()

    def optimize(self) -> None:
        self.optimizers = [torch.optim.SGD(net.parameters(), lr=0.02) for net in (self.model, self.twin)]

    # ---------------------------------------------------------------- what is expected

    def layers(self, net: Net) -> dict[str, tuple[Case, nn.Module]]:
        found = {f"neurons.n{i}": pair for i, pair in enumerate(zip(self.plan.cases, net.in_order(), strict=True))}
        if net.spare is not None and self.plan.spare is not None:
            found["spare"] = BY_NAME[self.plan.spare], net.spare
        return found

    @property
    def scales(self) -> dict[str, float]:
        if self.homeostat is None:
            return {}
        held = self.homeostat.state.held
        return self.homeostat.scales if held is None else dict(held)

    @property
    def known(self) -> bool:
        """Whether any rate is."""
        return self.homeostat is not None and any(rate == rate for rate in self.homeostat.rates.values())

    @property
    def due(self) -> bool:
        assert self.homeostat is not None
        return self.homeostat.steps % self.homeostat.state.spacing == 0

    def same(self, got: Any, wanted: Any, what: str) -> None:
        """Equal bit for bit, or close; nothing is said of the types of numbers."""
        got, wanted = (torch.as_tensor(value).detach().double() for value in (got, wanted))
        tolerance = (0.0, 0.0) if self.exact else (1e-3, 1e-4)
        torch.testing.assert_close(
            got, wanted, rtol=tolerance[0], atol=tolerance[1], equal_nan=True, msg=lambda text: f"{what}: {text}"
        )

    def check(self) -> None:
        """All that a user sees between two forwards."""
        got, wanted = self.model.state_dict(), self.twin.state_dict()
        assert list(got) == list(wanted)
        for name in wanted:
            if isinstance(wanted[name], Tensor):
                self.same(got[name], wanted[name], name)
        leaves = dict(self.twin.named_parameters())
        assert list(dict(self.model.named_parameters())) == list(leaves)
        for name, leaf in self.model.named_parameters():
            assert (leaf.grad is None) == (leaves[name].grad is None), name
            if leaf.grad is not None:
                self.same(leaf.grad, leaves[name].grad, f"gradient of {name}")
        scales = self.scales
        for (name, (case, module)), (_, twin) in zip(
            self.layers(self.model).items(), self.layers(self.twin).values(), strict=True
        ):
            assert type(module) is type(twin)
            for path in attributes(case):
                seen, own = attrgetter(path)(module), attrgetter(path)(twin)
                if case.writer == "tensor" or (self.set_anew and name == "neurons.n0" and seen == own):
                    self.same(seen, own, f"{name}.{path}")  # a number that was set is scaled by the next forward or update
                else:
                    self.same(seen, scaled(case, own, scales.get(name, 1.0)), f"{name}.{path}")
        assert (ahsar.attached(self.model) is None) == (self.homeostat is None)
        if not self.exact:
            self.twin.load_state_dict(got)
            for name, leaf in self.model.named_parameters():
                leaves[name].grad = None if leaf.grad is None else leaf.grad.clone()

    # ---------------------------------------------------------------- forwards and steps

    def forward(self, how: str, training: bool, number: int, paused: bool = False) -> None:
        for net in (self.model, self.twin):
            net.wake(training)
        x = torch.randn(BATCH, self.plan.width, generator=torch.Generator().manual_seed(number)).to(self.dtype)
        inputs = [x.clone().requires_grad_(how != "no_grad") for _ in range(2)]
        with quiet():
            with multiplied(self.layers(self.twin), self.scales):
                wanted = attempt(lambda: self._run(self.twin, inputs[1], how, number))
            got = attempt(lambda: self._run(self.model, inputs[0], how, number))
        if isinstance(wanted, Exception):
            assert type(got) is type(wanted), (got, wanted)
            assume(False)  # the framework cannot, say in this dtype; some layers have run, and some have not
        if isinstance(got, Exception):
            raise got
        self.set_anew = False
        self.same(got, wanted, "output")
        if how != "no_grad":
            assert (inputs[0].grad is None) == (inputs[1].grad is None)
            if inputs[0].grad is not None:
                self.same(inputs[0].grad, inputs[1].grad, "gradient of the input")
        if self.homeostat is not None and self.due and not paused:
            for name in self.homeostat.scales.keys() & self.twin.tally.keys():
                spikes, outputs, trained = self.twin.tally[name]
                if trained or self.in_eval:
                    before = self.sums.get(name, (0.0, 0))
                    self.sums[name] = before[0] + spikes, before[1] + outputs

    def _run(self, net: Net, x: Tensor, how: str, number: int) -> Tensor:
        seed(number)
        call: Any = net
        if how == "compiled" and net is self.model:
            call = self.compiled = torch.compile(net, backend="eager") if self.compiled is None else self.compiled
        if how.startswith("checkpoint"):
            once = any(case.reentrant_only for case in self.plan.cases)
            call = partial(_checkpointed, net, reentrant=once or how == "checkpoint reentrant")
        modes = {"autocast": torch.autocast("cpu", torch.bfloat16), "no_grad": torch.no_grad()}
        with modes.get(how, nullcontext()):
            output = call(x)
        if output.requires_grad:
            seed(number)
            (output.float() * torch.randn(output.shape)).sum().backward()
        return output.detach()

    def step(self, paused: bool = False) -> None:
        """Of the optimizers and of the controller; with nothing sensed it refuses to."""
        before = None if self.homeostat is None else self.homeostat.state
        # where those that ran are all left alone, there is nothing to miss
        awaited = self.homeostat is not None and (not self.homeostat.state.updated or self.forgotten or self.known)
        idle = awaited and not paused and self.due and not self.sums
        try:
            with quiet():
                for optimizer in self.optimizers[::-1]:
                    optimizer.step()
                if self.homeostat is not None and not self.follows:
                    self.homeostat.step()
            assert not idle
        except ahsar.SensingError:
            assert idle
        finally:
            for optimizer in self.optimizers:
                optimizer.zero_grad()
        if self.homeostat is None or before is None or idle or paused:
            return
        after = self.homeostat.state
        assert after.steps == before.steps + 1
        if before.steps % before.spacing == 0:
            self._check_left_alone()
            check_update(before, after, self.sums, self.homeostat.config)
            self.sums, self.forgotten = {}, False

    def _check_left_alone(self) -> None:
        assert self.homeostat is not None
        last = f"neurons.n{len(self.plan.layers) - 1}"
        for name, reason in self.homeostat.left_alone.items():
            assert reason != ANSWER or (name == last and not self.plan.readout)


def _checkpointed(net: nn.Module, x: Tensor, reentrant: bool) -> Tensor:
    """`checkpoint(net, x)`; what forward raises goes past it, as its hooks on saved tensors would stay for what comes next."""
    failed: list[Exception] = []
    running = True

    def forward(x: Tensor) -> Tensor:
        try:
            return net(x)
        except Exception as error:
            if not running:  # in backward, where raising is how it ends early
                raise
            failed.append(error)
            return x

    output: Any = checkpoint(forward, x, use_reentrant=reentrant)
    running = False
    if failed:
        raise failed[0]
    return output
