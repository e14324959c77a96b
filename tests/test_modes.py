"""Modes that look on at every operation of a forward see what the model computes, and not what is sensed of it."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from torch.utils.flop_counter import FlopCounterMode

import ahsar
from ahsar.modes import aside, watched
from benchmarks import overhead
from tests import models
from tests.models import MOVING

X = models.batch(0)[0]


class Dispatched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[resolve_name(func) or str(func)] += 1
        return func(*args, **(kwargs or {}))


class OpCounters:
    """Every counter of SpikingJelly's that counts what is computed."""

    def __init__(self) -> None:
        from spikingjelly.activation_based import op_counter

        names = ("ACCounter", "MACCounter", "SynOpCounter", "FlopCounter", "MemoryAccessCounter")
        self.counters = [getattr(op_counter, name)() for name in names]
        self.mode = op_counter.DispatchCounterMode(self.counters)

    @property
    def seen(self) -> Any:
        return [counter.get_total() for counter in self.counters]

    def __enter__(self) -> Any:
        self.mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.mode.__exit__(*error)


class Flops(FlopCounterMode):
    def __init__(self) -> None:
        super().__init__(display=False)

    @property
    def seen(self) -> Any:
        return self.get_flop_counts()


ASKS = ("__get__", "is_inference")
MODES: list[Callable[[], Any]] = [Dispatched, Called, OpCounters, Flops]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [kind for kind in models.KINDS if kind != "parameter"])
def test_what_is_counted_is_what_a_model_without_us_computes(kind: str, mode: Callable[[], Any]) -> None:
    counts: list[Any] = []
    for baked in (True, False):
        model = models.build(kind)
        homeostat = ahsar.attach(model, layers="all")
        homeostat.hold(0.5)  # nothing is scaled yet: the first forward does that, too
        if baked:
            homeostat.bake()
        for _ in range(2):
            with mode() as counter:
                model(X).sum().backward()
            counts.append(counter.seen)
        if not baked:
            assert [one.sum.count for one in homeostat.layers] == [2 * X.shape[0] * models.STEPS * models.WIDTH] * 2
    if mode is Called:  # what asks a tensor for what it is computes nothing
        counts = [Counter({name: n for name, n in seen.items() if not name.endswith(ASKS)}) for seen in counts]
    assert counts[2:] == counts[:2] and counts[0]


def test_a_learnable_threshold_is_scaled_where_its_gradient_is_and_counted_there() -> None:
    model = models.build("parameter")
    homeostat = ahsar.attach(model, layers="all")
    homeostat.hold(0.5)
    with Dispatched() as attached:
        model(X)
    with homeostat.paused(), Dispatched() as again:
        model(X)
    homeostat.detach()
    with Dispatched() as plain:
        model(X)
    assert attached.seen == again.seen and attached.seen - plain.seen == Counter({"aten.mul.Tensor": 2})


class Block(nn.Module):
    """Neurons among operations of the kinds that sensing and scaling use: multiplication, and a sum into float32."""

    def __init__(self, kind: str):
        super().__init__()
        torch.manual_seed(0)
        self.mix, self.gain = nn.Linear(models.FEATURES, models.WIDTH), nn.Parameter(torch.rand(models.WIDTH) + 0.5)
        (self.neuron,) = models.build(kind, depth=1).neurons

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self.neuron, "reset"):
            self.neuron.reset()  # type: ignore[operator]
        spikes = self.neuron(self.mix(x))
        signal = spikes * self.gain * self.gain.exp()
        return signal * signal.sum(dtype=torch.float32) * self.mix(x).sum(dtype=torch.float32)


def everything(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE


def products(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    kept = operation in (torch.ops.aten.addmm.default, torch.ops.aten.mul.Tensor, torch.ops.aten.sum.default)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


@pytest.mark.parametrize("policy", [everything, products])
@pytest.mark.parametrize("kind", ["float", "buffer", "parameter", "spikingjelly"])
def test_selective_checkpointing_changes_no_gradient(kind: str, policy: Any) -> None:
    """What it saves is numbered: one operation of ours more in the first forward, and each one behind it is another's."""
    contexts = partial(create_selective_checkpoint_contexts, policy)
    results = []
    for selective in (False, True):
        block = Block(kind)
        optimizer = torch.optim.SGD(block.parameters(), lr=1e-9)
        homeostat = ahsar.attach(block, optimizer, config=MOVING, layers="all")
        x, trace = X.expand(models.STEPS, *X.shape), []
        for _ in range(3):
            out = checkpoint(block, x, use_reentrant=False, context_fn=contexts) if selective else block(x)
            assert isinstance(out, Tensor)
            optimizer.zero_grad()
            out.pow(2).mean().backward()
            gradients = [p.grad for p in block.parameters()]
            trace.append([None if g is None else g.tolist() for g in gradients])
            optimizer.step()
            trace.append([homeostat.scales, homeostat.rates, homeostat.state.sizes.tolist()])
        results.append(trace)
    assert results[0] == results[1]
    assert len({str(entry) for entry in results[0][1::2]}) == 3


def test_modes_are_back_after_an_error() -> None:
    def fail() -> None:
        torch.ones(2).mul(2)
        raise InterruptedError

    with Called() as called, Dispatched() as dispatched:
        with pytest.raises(InterruptedError):
            aside(fail)
        torch.ones(2).add(1)
    assert set(called.seen) == {"torch.ones", "torch.Tensor.add"}
    assert set(dispatched.seen) == {"aten.ones.default", "aten.add.Tensor"}
    assert not watched()


def test_the_detector_of_host_copies_sees_sensing() -> None:
    """Or else no test could tell that it makes the program wait."""
    ahsar.register_adapter(models.LIF, threshold="firing_level", spikes=lambda output: output * output.sum().item() ** 0)
    try:
        model = models.build("float")
        ahsar.attach(model, layers="all")
        with overhead.Syncs() as syncs:
            model(X)
        assert syncs.count == 2
    finally:
        ahsar.register_adapter(models.LIF, threshold="firing_level", binary=True)
