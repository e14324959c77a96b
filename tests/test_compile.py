"""torch.compile after attach: the same rates and scales as eager, and no more graphs, breaks or recompilations than without."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils.checkpoint import checkpoint

import ahsar
from ahsar import AttachError, SensingError
from tests import compiling, models
from tests.compiling import counting
from tests.models import MOVING

UPDATES = 50
X = models.batch(0)[0]
# the compiler's own: it looks at the gradient of any tensor where a graph breaks, and hides the warning from its users
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute"),
]


@pytest.fixture(autouse=True)
def fresh() -> Any:
    """Neither compiled code nor settings outlive a test."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=True):
        yield
    torch._dynamo.reset()


def unattached(name: str, **options: Any) -> compiling.Counts:
    """What the compiler does to the model without a controller; graphs do not depend on the backend."""
    with counting() as counts:
        model = compiling.build(name)
        compiling.train(model, torch.compile(model, backend="eager", **options), models.adam(model), 5)
    return counts


def eager(name: str, updates: int = UPDATES) -> ahsar.Homeostat:
    model = compiling.build(name)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    compiling.train(model, model, optimizer, updates)
    return homeostat


def check(name: str, updates: int = UPDATES, in_place: bool = False, **options: Any) -> None:
    with counting() as counts:
        model = compiling.build(name)
        optimizer = models.adam(model)
        homeostat = ahsar.attach(model, optimizer, config=MOVING, compile=True, layers="all")
        if in_place:
            model.compile(**options)
        compiling.train(model, model if in_place else torch.compile(model, **options), optimizer, updates)
    wanted = eager(name, updates)
    assert homeostat.rates == pytest.approx(wanted.rates, abs=1e-5)
    assert homeostat.scales == pytest.approx(wanted.scales, abs=1e-5)
    assert all(abs(scale - 1) > 0.05 for scale in homeostat.scales.values())
    assert counts == unattached(name, fullgraph=options.get("fullgraph", False))


# ---------------------------------------------------------------- the same as eager, without compiling anew


@pytest.mark.parametrize("name", compiling.MAKERS)
def test_compiled_training_is_eager_training(name: str) -> None:
    check(name, backend="aot_eager", fullgraph=name in compiling.WHOLE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float", "parameter", "snntorch", "LIF"])
def test_inductor_training_is_eager_training(name: str) -> None:
    check(name, backend="inductor", fullgraph=True)


@pytest.mark.parametrize("name", ["buffer", "snntorch", "LIF"])
def test_a_model_compiled_in_place(name: str) -> None:
    check(name, updates=10, in_place=True, backend="aot_eager", fullgraph=True)


@pytest.mark.parametrize("name", ["buffer", "parameter", "snntorch", "snntorch-states"])
def test_thresholds_that_are_tensors_need_no_word_of_it(name: str) -> None:
    model = compiling.build(name)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING, layers="all")
    compiling.train(model, torch.compile(model, backend="aot_eager"), optimizer, 10)
    wanted = eager(name, 10)
    assert homeostat.scales == pytest.approx(wanted.scales, abs=1e-5)
    assert homeostat.rates == pytest.approx(wanted.rates, abs=1e-5)


def test_numbers_compile_anew_and_say_so() -> None:
    model = compiling.build("LIF")
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    with pytest.warns(UserWarning, match="keeps its threshold as a number.*compile=True") as told:
        torch.compile(model, backend="eager")(X)
    assert [str(warning.message)[:17] for warning in told] == ["layer 'neurons.0'", "layer 'neurons.1'"]
    homeostat.step()  # right all the same
    assert homeostat.scales == pytest.approx(eager("LIF", 1).scales, abs=1e-5)


def test_batches_of_several_sizes() -> None:
    scales = []
    for compiled in (False, True):
        model = compiling.build("buffer")
        optimizer = models.adam(model)
        homeostat = ahsar.attach(model, optimizer, config=MOVING, compile=True, layers="all")
        run: Any = torch.compile(model, backend="aot_eager") if compiled else model
        with counting() as counts:
            for step in range(12):
                models.train_step(run, optimizer, step, size=4 + step % 4)
        assert counts.graphs <= 2
        scales.append((homeostat.scales, homeostat.rates))
    assert scales[0][0] == pytest.approx(scales[1][0], abs=1e-5) and scales[0][1] == pytest.approx(scales[1][1], abs=1e-5)


@pytest.mark.parametrize("name", ["buffer", "LIF"])
def test_an_interval_and_evaluation_cost_one_graph_each(name: str) -> None:
    with counting() as counts:
        model = compiling.build(name)
        optimizer = models.adam(model)
        homeostat = ahsar.attach(model, optimizer, config=replace(MOVING, interval=3), compile=True, layers="all")
        run = torch.compile(model, backend="aot_eager", fullgraph=True)
        with torch._dynamo.config.patch(error_on_recompile=False):
            for step in range(6):
                compiling.train(model, run, optimizer, 1, step)
                scales = homeostat.scales
                reset_and_evaluate(model, run)
                assert homeostat.scales == scales
        settled = counters["stats"]["unique_graphs"]
        with torch._dynamo.config.patch(error_on_recompile=True):
            for step in range(6, 12):
                compiling.train(model, run, optimizer, 1, step)
                reset_and_evaluate(model, run)
    assert settled == counts.graphs <= 3  # sensing, not sensing, evaluation
    twin = compiling.build(name)
    steps = models.adam(twin)
    wanted = ahsar.attach(twin, steps, config=replace(MOVING, interval=3))
    compiling.train(twin, twin, steps, 12)
    assert homeostat.scales == pytest.approx(wanted.scales, abs=1e-5)


def reset_and_evaluate(model: nn.Module, run: Any) -> None:
    compiling.reset(model)
    model.eval()
    with torch.no_grad():
        run(X)
    model.train()


@pytest.mark.parametrize("before", [False, True])
def test_models_of_one_class_with_and_without_controller_take_turns(before: bool) -> None:
    model, plain = compiling.build("buffer"), compiling.build("buffer")
    optimizers = models.adam(model), models.adam(plain)
    run = torch.compile(plain, backend="eager")
    if before:
        run(X)
    homeostat = ahsar.attach(model, optimizers[0], config=MOVING, compile=True, layers="all")
    with counting() as counts:
        own = torch.compile(model, backend="eager")
        for step in range(6):
            compiling.train(plain, run, optimizers[1], 1, step)
            compiling.train(model, own, optimizers[0], 1, step)
    assert counts.graphs == 2
    assert homeostat.scales == pytest.approx(eager("buffer", 6).scales, abs=1e-5)


# ---------------------------------------------------------------- activation checkpointing


class Checkpointed(models.Net):
    def forward(self, x: Tensor) -> Tensor:
        signal = x.expand(models.STEPS, *x.shape)
        for synapse, layer in zip(self.synapses, self.neurons, strict=True):
            signal = checkpoint(nn.Sequential(synapse, layer), signal, use_reentrant=False)  # type: ignore[assignment]
        return self.readout(signal).mean(0)


@pytest.mark.parametrize(("name", "fullgraph"), [("float", True), ("LIF", False), ("buffer", False), ("parameter", False)])
def test_checkpointing_in_compiled_code_is_counted_once(name: str, fullgraph: bool) -> None:
    sums = []
    for compiled in (False, True):
        model = compiling.build(name)
        model.__class__ = Checkpointed
        homeostat = ahsar.attach(model, config=MOVING, compile=True, layers="all")
        run = torch.compile(model, backend="aot_eager", fullgraph=fullgraph) if compiled else model
        run(X).sum().backward()
        sums.append([tuple(map(float, layer.sum.read())) for layer in homeostat.layers])  # type: ignore[arg-type]
    assert sums[0] == sums[1] and sums[0][0][1] == X.shape[0] * models.STEPS * models.WIDTH


def test_checkpointing_around_compiled_code_changes_no_rate() -> None:
    """Compiled code cannot tell that it runs in backward: its spikes and outputs are both counted twice."""
    rates = []
    for around in (False, True):
        model = compiling.build("buffer")
        homeostat = ahsar.attach(model, config=MOVING, compile=True, layers="all")
        run = torch.compile(model, backend="aot_eager")
        call: Any = partial(checkpoint, run, use_reentrant=False) if around else run
        call(X.clone().requires_grad_()).sum().backward()
        homeostat.step()
        rates.append(homeostat.rates)
    assert rates[0] == rates[1]


# ---------------------------------------------------------------- endings, and states


@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "snntorch", "LIF"])
@pytest.mark.parametrize("ending", ["detach", "bake"])
def test_endings_reach_compiled_code(name: str, ending: str) -> None:
    model, twin = compiling.build(name), compiling.build(name)
    homeostat = ahsar.attach(model, config=MOVING, compile=True, layers="all")
    run = torch.compile(model, backend="aot_eager")

    def output(module: nn.Module, call: Any) -> Tensor:
        compiling.reset(module)
        return call(X)

    homeostat.hold(0.5)
    held = output(model, run)
    assert not torch.equal(held, output(twin, twin))
    getattr(homeostat, ending)()
    torch.testing.assert_close(output(model, run), output(twin, twin) if ending == "detach" else held, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output(model, model), output(twin, twin) if ending == "detach" else held, rtol=1e-5, atol=1e-5)
    assert [type(m) for m in model.modules()] == [type(m) for m in twin.modules()]
    assert list(model.state_dict()) == list(twin.state_dict())


def test_code_compiled_for_a_model_without_controller_does_not_hide_the_threshold() -> None:
    """Fragments are shared by all models of a class; they must look where the scaled threshold is."""
    plain = compiling.build("snntorch-states")
    run = torch.compile(plain, backend="eager")
    for _ in range(3):
        run(X).sum().backward()
    check_against_eager("snntorch-states")


def check_against_eager(name: str) -> None:
    model = compiling.build(name)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING, layers="all")
    compiling.train(model, torch.compile(model, backend="eager"), optimizer, 10)
    assert homeostat.scales == pytest.approx(eager(name, 10).scales, abs=1e-5)


def test_a_state_saved_between_compiled_forwards_continues() -> None:
    model = compiling.build("buffer")
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    run = torch.compile(model, backend="aot_eager")
    run(X)
    state = copy.deepcopy(homeostat.state_dict())
    assert state["layers"]["neurons.0"]["count"] == X.shape[0] * models.STEPS * models.WIDTH
    twin = compiling.build("buffer")
    other = ahsar.attach(twin, config=MOVING, layers="all")
    other.load_state_dict(state)
    for each in (homeostat, other):
        each.step()
    assert homeostat.scales == other.scales and homeostat.rates == other.rates
    fresh_state = ahsar.attach(compiling.build("buffer"), config=MOVING, layers="all").state_dict()
    homeostat.load_state_dict(fresh_state)  # of a controller that has heard nothing
    run(X)
    homeostat.step()
    assert homeostat.rates == other.rates


def test_a_compiled_step_without_forward_is_refused() -> None:
    model = compiling.build("buffer")
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    torch.compile(model, backend="eager")(X)
    homeostat.step()
    with pytest.raises(SensingError, match=r"model\.train\(\)"):
        homeostat.step()


def test_a_compiled_model_may_change_its_dtype() -> None:
    model, twin = compiling.build("buffer"), compiling.build("buffer")
    homeostat, wanted = ahsar.attach(model, config=MOVING, layers="all"), ahsar.attach(twin, config=MOVING, layers="all")
    run = torch.compile(model, backend="aot_eager")
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for module, call in ((model, run), (twin, twin)):
            module.to(dtype)
            call(X.to(dtype))
        homeostat.step()
        wanted.step()
        assert homeostat.scales == pytest.approx(wanted.scales, abs=1e-4)


def test_a_model_compiled_in_place_can_be_calibrated() -> None:
    scales = []
    for compiled in (False, True):
        model = compiling.build("float")
        homeostat = ahsar.attach(model, config=MOVING, compile=True, layers="all")
        if compiled:
            model.compile(backend="aot_eager")
        homeostat.calibrate([X])
        scales.append(homeostat.scales)
    assert scales[0] == pytest.approx(scales[1], abs=1e-4)


def test_a_copy_of_a_model_that_was_compiled_is_independent() -> None:
    model = compiling.build("LIF")
    homeostat = ahsar.attach(model, config=MOVING, compile=True, layers="all")
    run = torch.compile(model, backend="aot_eager")
    run(X)
    compiling.reset(model)
    twin = copy.deepcopy(model)
    own = ahsar.attached(twin)
    assert own is not None and own is not homeostat
    torch.compile(twin, backend="aot_eager")(X)
    assert own.layers[0].sum.read()[1] == 2 * homeostat.layers[0].sum.read()[1]
    own.detach()
    assert isinstance(twin.neurons[0].v_threshold, float) and isinstance(model.neurons[0].v_threshold, Tensor)


# ---------------------------------------------------------------- compiled before


def test_a_model_that_is_compiled_already_is_refused() -> None:
    model = compiling.build("buffer")
    compiled = torch.compile(model, backend="eager")
    within = nn.Sequential(nn.Identity(), compiled)  # type: ignore[arg-type]
    for target in (compiled, within):
        with pytest.raises(AttachError, match=r"neurons\.0', .* is in a compiled model.*attach first"):
            ahsar.attach(target)  # type: ignore[arg-type]
    model.compile(backend="eager")
    with pytest.raises(AttachError, match="attach first"):
        ahsar.attach(model)
    assert ahsar.attached(model) is None


def test_a_compiled_part_without_spiking_layers_does_no_harm() -> None:
    model: Any = compiling.build("buffer")
    model.readout = torch.compile(model.readout, backend="eager")
    homeostat = ahsar.attach(model, config=MOVING)
    model(X)
    homeostat.step()
    assert homeostat.scales["neurons.0"] != 1.0


def test_hooks_that_never_fire_are_told_of() -> None:
    """The inside of a compiled model does not know that it is compiled."""
    model = compiling.build("buffer")
    run = torch.compile(model, backend="eager")
    run(X)
    homeostat = ahsar.attach(model)
    run(X)
    with pytest.raises(SensingError, match="compiled before attach"):
        homeostat.step()


# ---------------------------------------------------------------- what it rests on


def test_the_marks_are_those_of_torch() -> None:
    from ahsar.spikes import inline_only, while_tracing

    def ours(_: Any) -> None: ...
    def theirs(_: Any) -> None: ...

    assert vars(while_tracing(ours)) == vars(torch.compiler.assume_constant_result(theirs))
    assert inline_only(ours) is ours


def test_importing_the_package_does_not_import_the_compiler() -> None:
    import subprocess
    import sys

    code = "import sys, ahsar; sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


# ---------------------------------------------------------------- CUDA


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["float", "buffer", "parameter", "LIF"])
def test_cuda_graphs(name: str) -> None:
    """Sums are added in place at fixed addresses, so CUDA graphs are not skipped, and equal eager training."""
    model = compiling.build(name).cuda()
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING, compile=True, layers="all")
    run: Any = torch.compile(model, mode="reduce-overhead", fullgraph=True)
    counters.clear()
    for step in range(20):
        torch.compiler.cudagraph_mark_step_begin()
        compiling.reset(model)
        x, y = (t.cuda() for t in models.batch(step))
        optimizer.zero_grad(set_to_none=False)
        nn.functional.cross_entropy(run(x), y).backward()
        optimizer.step()
    assert counters["inductor"]["cudagraph_skips"] == 0
    wanted = eager(name, 20)
    assert homeostat.scales == pytest.approx(wanted.scales, abs=0.02)  # a GPU sums in another order


def test_a_compiled_model_cannot_show_whose_spikes_are_the_answer() -> None:
    model = models.build("buffer")
    homeostat = ahsar.attach(model)
    torch.compile(model, backend="eager")(X).sum().backward()
    with pytest.warns(UserWarning, match="it is compiled, which hides its graph"):
        homeostat.step()
    assert len(homeostat.layers) == 2 and not homeostat.left_alone
