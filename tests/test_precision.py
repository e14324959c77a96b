"""Dtypes, memory formats and devices: mixed and half precision, channels_last, models built without memory, CUDA."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar.state import VECTORS
from ahsar.thresholds import FieldThreshold, ShadowThreshold
from tests import compiling, models
from tests.models import MOVING
from tests.reference import Reference

X, Y = models.batch(0)


def all_float32(homeostat: ahsar.Homeostat) -> bool:
    return {getattr(homeostat.state, name).dtype for name in VECTORS} == {torch.float32}


# ---------------------------------------------------------------- mixed precision


@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "snntorch", "LIF"])
def test_bfloat16_autocast_with_tensors_for_numbers(name: str) -> None:
    """attach(compile=True) writes float32 tensors; under autocast they give what numbers give."""
    results = []
    for compile in (False, True):
        model = compiling.build(name)
        optimizer = models.adam(model)
        homeostat = ahsar.attach(model, optimizer, config=MOVING, compile=compile, layers="all")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = compiling.train(model, model, optimizer, 10)
        assert all_float32(homeostat) and all(map(torch.isfinite, map(torch.tensor, losses)))
        results.append(homeostat.scales)
    assert results[0] == pytest.approx(results[1], abs=1e-2)


@pytest.mark.parametrize("name", ["float", "parameter", "LIF"])
def test_a_step_that_a_gradient_scaler_skips_moves_no_scale(name: str) -> None:
    model = compiling.build(name)
    optimizer, scaler = models.adam(model), torch.GradScaler("cpu", init_scale=16.0)
    counter, reference = models.Counter(model), Reference(2, MOVING)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    for step in range(6):
        x, y = models.batch(step)
        before, weights = homeostat.scales, [p.detach().clone() for p in model.parameters()]
        compiling.reset(model)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = nn.functional.cross_entropy(model(x).float(), y)
        scaler.scale(loss).backward()
        skipped = step in (0, 3)
        if skipped:
            next(model.parameters()).grad.view(-1)[0] = float("inf")  # type: ignore[union-attr]
        scaler.step(optimizer)
        scaler.update()
        assert skipped == all(map(torch.equal, weights, model.parameters()))
        if skipped:
            assert homeostat.scales == before
        else:  # what was sensed before a skipped step counts in the next
            assert homeostat.scales != before
            reference.step(*counter.take())
            assert list(homeostat.scales.values()) == pytest.approx(reference.scales, abs=1e-5)
    assert homeostat.steps == 4 and scaler.get_scale() == 4.0


@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "LIF"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("compile", [False, True])
def test_a_model_in_half_precision_keeps_its_state_in_float32(name: str, dtype: torch.dtype, compile: bool) -> None:
    model = compiling.build(name).to(dtype)
    counter, reference = models.Counter(model), Reference(2, MOVING)
    homeostat = ahsar.attach(model, config=MOVING, compile=compile, layers="all")
    outputs = []
    for step in range(20):
        compiling.reset(model)
        out = model(models.batch(step)[0].to(dtype))
        outputs.append(out.dtype)
        out.sum().backward()
        homeostat.step()
        reference.step(*counter.take())
        assert list(homeostat.rates.values()) == pytest.approx(reference.average, abs=1e-5)
        assert list(homeostat.scales.values()) == pytest.approx(reference.scales, abs=1e-5)
    assert set(outputs) == {dtype} and all_float32(homeostat)


# ---------------------------------------------------------------- what tensors are made of by default


@contextmanager
def by_default(kind: torch.dtype | str) -> Iterator[None]:
    """Tensors are of this dtype, or on this device, where nothing is said."""
    before = torch.get_default_dtype()
    with torch.device(kind) if isinstance(kind, str) else nullcontext():
        if isinstance(kind, torch.dtype):
            torch.set_default_dtype(kind)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@cache
def whole_life(name: str, dtype: torch.dtype, compile: bool, kind: torch.dtype | str) -> list[dict[str, float]]:
    """Scales and rates of a model through all that a homeostat does, while tensors are by default of some kind."""
    model = compiling.build(name).to(dtype)
    batches = [models.batch(seed)[0].to(dtype) for seed in range(3)]
    found: list[dict[str, float]] = []
    with by_default(kind):
        homeostat = ahsar.attach(model, config=replace(MOVING, frugal=True), compile=compile, layers="all")

        def steps() -> None:
            for x in batches:
                compiling.reset(model)
                model(x)
                homeostat.step()
            found.extend((homeostat.scales, homeostat.rates, homeostat.set_points))
            assert all_float32(homeostat)

        steps()
        homeostat.calibrate(batches, lambda x: (compiling.reset(model), model(x)), updates=3, tolerance=0.9)
        for metric in (0.5, 0.6, 0.7):
            steps()
            homeostat.epoch(metric)
        homeostat.load_state_dict(homeostat.state_dict())
        steps()
        homeostat.hold(0.7)
        steps()
        homeostat.release()
        model.eval()
        with homeostat.adapting(), torch.no_grad():
            steps()
        model.train()
        steps()
        homeostat.bake()
        compiling.reset(model)
        found.append({"baked": model(batches[0]).double().sum().item()})
    return found


@pytest.mark.filterwarnings("ignore:layer .* cannot reach the set-point")
@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "snntorch", "LIF"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16, "meta"])
def test_nothing_depends_on_the_default_dtype_or_device(name: str, dtype: Any, compile: bool, kind: Any) -> None:
    if name == "snntorch" and (kind == "meta" or dtype != torch.float32):
        pytest.skip("snnTorch's states do not take this, unattached too")
    assert whole_life(name, dtype, compile, kind) == whole_life(name, dtype, compile, torch.float32)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, "meta"])
def test_a_number_that_a_tensor_stands_in_for_is_as_exact_as_ever(kind: Any) -> None:
    class Pair(NamedTuple):
        level: float

    module: Any = nn.Module()
    module.level, module.pair = 0.3, Pair(0.3)
    with by_default(kind):
        for writer in (ShadowThreshold(module, "level"), FieldThreshold(module, "pair", ("level",))):
            for scale in (torch.tensor(0.5, dtype=torch.float32, device="cpu"), 0.5):
                writer.write(module, scale)
                for threshold in (2 * writer.effective(module), writer.value(module)):
                    assert (threshold.dtype, threshold.device.type) == (torch.float32, "cpu")
                    assert threshold.item() == pytest.approx(0.3, rel=1e-7)


# ---------------------------------------------------------------- memory formats


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolve, self.neurons = nn.Conv2d(3, 8, 3, padding=1), Still(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        return self.neurons(self.convolve(x))


class Still(models.LIF):
    """One step of time, on images."""

    def forward(self, current: Tensor) -> Tensor:
        return (current >= self.firing_level).to(current.dtype)


def test_channels_last_is_kept_and_sensed_alike() -> None:
    plain, last = Images(), Images().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(4, 3, 6, 6)
    homeostats = [ahsar.attach(model, config=MOVING) for model in (plain, last)]
    for _ in range(3):
        a, b = plain(x), last(x.contiguous(memory_format=torch.channels_last))
        assert b.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(a, b)
        for homeostat in homeostats:
            homeostat.step()
    assert homeostats[0].rates == homeostats[1].rates and homeostats[0].scales == homeostats[1].scales


# ---------------------------------------------------------------- devices


@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "snntorch", "LIF"])
@pytest.mark.parametrize("first", ["attach", "to_empty"])
@pytest.mark.parametrize("compile", [False, True])
def test_a_model_built_without_memory(name: str, first: str, compile: bool) -> None:
    wanted = compiling.build(name)
    if name == "snntorch":  # it reads tensors while it is built
        model = compiling.build(name).to("meta")
    else:
        with torch.device("meta"):
            model = compiling.build(name)
    homeostat = ahsar.attach(model, config=MOVING, compile=compile, layers="all") if first == "attach" else None
    model.to_empty(device="cpu")
    model.load_state_dict(wanted.state_dict())
    compiling.reset(model)
    homeostat = homeostat or ahsar.attach(model, config=MOVING, compile=compile, layers="all")
    twin = ahsar.attach(wanted, config=MOVING, compile=compile, layers="all")
    for step in range(3):
        for module in (model, wanted):
            compiling.reset(module)
            module(models.batch(step)[0])
        homeostat.step()
        twin.step()
    assert homeostat.scales == twin.scales and homeostat.rates == twin.rates
    assert homeostat.state.scale.device.type == "cpu"


@pytest.mark.parametrize("name", ["float", "buffer", "parameter"])
@pytest.mark.parametrize("compile", [False, True])
def test_a_model_that_moves_takes_its_threshold_along(name: str, compile: bool) -> None:
    model = compiling.build(name)
    homeostat = ahsar.attach(model, config=MOVING, compile=compile, layers="all")
    homeostat.hold(0.5)
    model.to("meta")
    assert model(X.to("meta")).device.type == "meta"  # tensors of several devices would raise


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "snntorch", "LIF"])
def test_updates_never_wait_for_a_gpu(name: str) -> None:
    model = compiling.build(name).cuda()
    homeostat = ahsar.attach(model, config=MOVING, compile=True, layers="all")
    x = X.cuda()
    for _ in range(2):  # the first update sorts the layers, and copies the batch's size
        compiling.reset(model)
        model(x)
        homeostat.step()
    for _ in range(3):
        compiling.reset(model)
        model(x)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            homeostat.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert homeostat.state.scale.device.type == "cuda"


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "snntorch", "LIF"])
@pytest.mark.parametrize("compile", [False, True])
def test_a_model_may_move_between_gpu_and_cpu(name: str, compile: bool) -> None:
    model = compiling.build(name)
    twin = copy.deepcopy(model)
    homeostat, wanted = ahsar.attach(model, config=MOVING, compile=compile, layers="all"), ahsar.attach(twin, config=MOVING)
    for device in ("cpu", "cuda", "cuda", "cpu"):
        model.to(device)
        for module, x in ((model, X.to(device)), (twin, X)):
            compiling.reset(module)
            module(x)
        homeostat.step()
        wanted.step()
        assert homeostat.state.scale.device.type == device
        assert homeostat.scales == pytest.approx(wanted.scales, abs=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_and_gradient_scaling_on_a_gpu(dtype: Any) -> None:
    model = compiling.build("buffer").cuda()
    optimizer, scaler = models.adam(model), torch.GradScaler("cuda", enabled=dtype == torch.float16)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    for step in range(10):
        x, y = (t.cuda() for t in models.batch(step))
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=dtype):
            loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert all_float32(homeostat) and homeostat.steps > 0
    assert all(0 < rate < 1 for rate in homeostat.rates.values())
