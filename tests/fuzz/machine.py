"""Any order of a user's actions on a net of one framework, and after each the comparison with a twin never attached."""

import copy
from contextlib import suppress
from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ahsar
from tests.models import MOVING

from . import actions
from .common import quiet
from .nets import plans
from .pair import Pair

# No count of spikes is exactly at an edge, where float32 and the oracle's float64 may differ.
ROUND = {"set_point": 0.2003, "rescue": (0.2503, 3.0007), "band": (0.3001, 2.5003)}
CONFIGS = {
    "moving": MOVING,
    "default": ahsar.Config(**ROUND),
    "every other step": ahsar.Config(**ROUND, interval=2, grace=3, patience=1, pause=1, resting_interval=3),
    "trained": ahsar.Config(**ROUND, trained=True, grace=2),
    "frugal": ahsar.Config(**ROUND, frugal=True, gamma=0.5, floor=0.01),
}
numbers = st.integers(0, 2**16)
scales = st.sampled_from([0.3, 0.6, 1.0, 1.7])
attached = precondition(lambda self: self.pair.homeostat is not None)
detached = precondition(lambda self: self.pair.homeostat is None)


class Machine(RuleBasedStateMachine):
    """Pairs of nets of one framework: the one in use, and those that it was copied from."""

    framework: str
    compiles = False
    pair: Pair

    @initialize(data=st.data())
    def build(self, data: Any) -> None:
        self.pair = Pair(data.draw(plans(self.framework)))
        self.left_behind: list[Pair] = []
        self.weights: Any = None
        self.saved: Any = None

    @invariant()
    def alike(self) -> None:
        if hasattr(self, "pair"):
            self.pair.check()

    @detached
    @rule(
        config=st.sampled_from(list(CONFIGS)),
        chosen=st.sampled_from([None, None, "all", ["neurons.n0"]]),
        follows=st.booleans(),
    )
    def attach(self, config: str, chosen: Any, follows: bool) -> None:
        actions.attach(self.pair, CONFIGS[config], chosen, follows, self.compiles)
        self.saved = None

    @rule(
        how=st.sampled_from(["plain", "no_grad", "autocast", "checkpoint", "checkpoint reentrant"]),
        training=st.booleans(),
        x=numbers,
    )
    def forward(self, how: str, training: bool, x: int) -> None:
        assume(self.pair.exact or how != "autocast")  # bfloat16 makes too much of what is rounded otherwise
        self.pair.forward(how, training, x)

    @precondition(lambda self: self.pair.compile)
    @rule(training=st.booleans(), x=numbers)
    def compiled_forward(self, training: bool, x: int) -> None:
        self.pair.forward("compiled", training, x)

    @rule(x=numbers)
    def train(self, x: int) -> None:
        self.pair.forward("plain", True, x)
        self.pair.step()

    @rule()
    def step(self) -> None:
        self.pair.step()

    @attached
    @rule(x=numbers)
    def pause(self, x: int) -> None:
        homeostat: Any = self.pair.homeostat
        steps = homeostat.steps
        with homeostat.paused():
            self.pair.forward("plain", True, x, paused=True)
            self.pair.step(paused=True)
        assert homeostat.steps == steps

    @attached
    @rule(metric=st.sampled_from([0.1, 0.5, 0.9, float("nan")]))
    def epoch(self, metric: float) -> None:
        homeostat: Any = self.pair.homeostat
        before = homeostat.state
        with actions.quiet():
            got = actions.attempt(lambda: homeostat.epoch(metric))
        if not before.updated:
            assert isinstance(got, ahsar.SensingError) and homeostat.state is before
        elif metric != metric:
            assert isinstance(got, ahsar.ConfigError) and homeostat.state is before
        else:
            assert got is None and homeostat.epochs == before.epochs + 1

    @attached
    @rule(scale=scales, every=st.booleans())
    def hold(self, scale: float, every: bool) -> None:
        homeostat: Any = self.pair.homeostat
        first = homeostat.layers[0].name
        homeostat.hold(scale if every else {first: scale})
        assert homeostat.scales[first] == torch.tensor(scale).item()

    @attached
    @rule()
    def release(self) -> None:
        assert self.pair.homeostat is not None
        self.pair.homeostat.release()

    @attached
    @rule(rounds=st.integers(1, 2), keep=st.booleans())
    def adapt(self, rounds: int, keep: bool) -> None:
        actions.adapt(self.pair, rounds, keep)

    @attached
    @rule(x=numbers)
    def calibrate(self, x: int) -> None:
        actions.calibrate(self.pair, x)

    @rule(factor=st.sampled_from([0.7, 1.3]))
    def set_thresholds(self, factor: float) -> None:
        actions.set_thresholds(self.pair, factor)

    @rule()
    def save_weights(self) -> None:
        self.weights = copy.deepcopy((self.pair.twin.state_dict(), self.pair.model.state_dict()))

    @precondition(lambda self: self.weights is not None)
    @rule()
    def load_weights(self) -> None:
        known = self.pair.known
        with quiet():  # weights of before attach carry no scales, of which a warning says so
            got = [
                actions.attempt(lambda net=net, saved=saved: net.load_state_dict(saved))
                for net, saved in zip((self.pair.twin, self.pair.model), self.weights, strict=True)
            ]
        assert type(got[0]) is type(got[1]), got
        self.pair.forgotten |= known and not self.pair.known

    @attached
    @rule()
    def save_state(self) -> None:
        homeostat: Any = self.pair.homeostat
        self.saved = copy.deepcopy(homeostat.state_dict()), dict(self.pair.sums), self.pair.scales, self.pair.forgotten

    @precondition(lambda self: self.pair.homeostat is not None and self.saved is not None)
    @rule()
    def load_state(self) -> None:
        homeostat: Any = self.pair.homeostat
        state, sums, scales, forgotten = self.saved
        left = set(homeostat.left_alone)
        got = actions.attempt(lambda: homeostat.load_state_dict(copy.deepcopy(state)))
        if isinstance(got, ahsar.StateError):  # layers left alone since
            assert left - set(state["left_alone"])
        elif isinstance(got, Exception):
            raise got
        else:
            assert self.pair.scales == scales
            self.pair.sums, self.pair.forgotten = dict(sums), forgotten

    @rule(how=st.sampled_from(["deepcopy", "pickle"]))
    def duplicate(self, how: str) -> None:
        new = actions.copied(self.pair, how)
        if new is not None:
            self.left_behind, self.pair = [*self.left_behind[-1:], self.pair], new

    @rule(dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
    def to(self, dtype: torch.dtype) -> None:
        assume(self.pair.exact or dtype != torch.bfloat16)
        assume(not self.pair.compile)
        self.pair.model.to(dtype)
        self.pair.twin.to(dtype)
        self.pair.dtype = dtype

    @attached
    @rule(baked=st.booleans())
    def end(self, baked: bool) -> None:
        actions.end(self.pair, baked)
        self.saved = None

    def teardown(self) -> None:
        if self.compiles:
            torch.compiler.reset()
        for pair in [*self.left_behind, self.pair] if hasattr(self, "pair") else ():
            pair.check()
            with suppress(UnsatisfiedAssumption):
                pair.forward("plain", True, 7)
