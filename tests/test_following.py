"""One update per step of whatever optimizer moves the weights, in any wrapper; and a word where steps never come."""

import copy
import importlib
import pickle
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

import ahsar
from ahsar import AttachError, SensingError, pace
from ahsar.following import innermost
from tests import models
from tests.models import MOVING

BATCHES = 6
X, Y = models.batch(0)


# ---------------------------------------------------------------- optimizers as people write them


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation: its own `first_step` moves the weights, and the base steps once per batch."""

    def __init__(self, params: Any, base: Any, rho: float = 0.05, **kwargs: Any) -> None:
        super().__init__(params, {"rho": rho, **kwargs})
        self.base_optimizer = base(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups

    def weights(self) -> list[nn.Parameter]:
        return [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]

    @torch.no_grad()
    def first_step(self) -> None:
        for weight in self.weights():
            self.state[weight]["old"] = weight.clone()
            weight.add_(weight.grad, alpha=0.05)  # type: ignore[arg-type]
        self.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        for weight in self.weights():
            weight.copy_(self.state[weight]["old"])
        self.base_optimizer.step()
        self.zero_grad()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.first_step()
        closure()
        self.second_step()


class Lookahead(torch.optim.Optimizer):
    """Slow weights behind another optimizer's; it leaves out torch's `__init__`, and so has no place for hooks."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.steps = optimizer, 0
        self.param_groups, self.state, self.defaults = optimizer.param_groups, defaultdict(dict), optimizer.defaults
        self.slow = [weight.detach().clone() for group in self.param_groups for weight in group["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.optimizer.step(closure)
        self.steps += 1
        if self.steps % 3 == 0:
            fast = [weight for group in self.param_groups for weight in group["params"]]
            for slow, weight in zip(self.slow, fast, strict=True):
                weight.copy_(slow.lerp_(weight, 0.5))

    def zero_grad(self, set_to_none: bool = True) -> None:  # torch's own would want its `__init__`
        self.optimizer.zero_grad()


class HiddenLookahead(Lookahead):
    """The same with another name for what it wraps."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__(optimizer)
        del self.optimizer
        self._fast_one = optimizer

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["_fast_one"] if name == "optimizer" else super().__getattribute__(name)


class ScheduleFree:
    """No optimizer by its class, as the wrapper of schedule-free training is none."""

    def __init__(self, base: Any) -> None:
        self.base = base

    @property
    def param_groups(self) -> Any:
        return self.base.param_groups

    def zero_grad(self) -> None:
        self.base.zero_grad()

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data.mul_(0.999)
        self.base.step(closure)


class Extragradient(ScheduleFree):
    """Steps what it wraps twice per batch, with a forward between."""

    def step(self, closure: Any = None) -> None:
        self.base.step()
        self.base.zero_grad()
        closure()
        self.base.step()


class Bare(torch.optim.Optimizer):
    """An optimizer of one's own without torch's `__init__`."""

    def __init__(self, params: Any, lr: float) -> None:
        self.param_groups, self.state, self.defaults = [{"params": list(params), "lr": lr}], defaultdict(dict), {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for weight in self.param_groups[0]["params"]:
            if weight.grad is not None:
                weight.sub_(weight.grad, alpha=self.param_groups[0]["lr"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.param_groups[0]["params"]:
            weight.grad = None


class Logging(torch.optim.Adam):
    """Overrides `step` and calls that of the class above: torch calls hooks in both, once a plain Adam was made."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class Both(torch.optim.Optimizer):
    """Two optimizers, each for a part of the weights."""

    def __init__(self, params: Any) -> None:
        params = list(params)
        self.one, self.two = torch.optim.SGD(params[:2], lr=0.1), torch.optim.Adam(params[2:])
        super().__init__(params, {"lr": 0.1})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.one.step()
        self.two.step()


def sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1)


def copied_attributes(params: Any) -> Any:
    """As Fabric's wrappers are: all attributes of what they wrap, and itself."""
    outer, inner = object.__new__(ScheduleFree), ScheduleFree(sgd(params))
    outer.__dict__.update(inner.__dict__, _optimizer=inner)
    return outer


def logging(params: Any) -> torch.optim.Optimizer:
    torch.optim.Adam([torch.zeros(1)])
    return Logging(params, lr=0.1)


MAKERS: dict[str, Callable[[Any], Any]] = {
    "plain": sgd,
    "SAM": lambda params: SAM(params, torch.optim.SGD, lr=0.1),
    "Lookahead": lambda params: Lookahead(sgd(params)),
    "hidden": lambda params: HiddenLookahead(sgd(params)),
    "schedule-free": lambda params: ScheduleFree(sgd(params)),
    "twice": lambda params: Extragradient(sgd(params)),
    "bare": lambda params: Bare(params, lr=0.1),
    "wrapped bare": lambda params: Lookahead(Bare(params, lr=0.1)),
    "bare twice": lambda params: Extragradient(Bare(params, lr=0.1)),
    "overriding": logging,
    "both": Both,
    "Lookahead of SAM": lambda params: Lookahead(SAM(params, torch.optim.SGD, lr=0.1)),
    "copied attributes": copied_attributes,
}


def train(optimizer: Any, model: nn.Module, after: Callable[[], Any] = lambda: None, two_steps: bool = False) -> None:
    for batch in range(BATCHES):
        x, y = models.batch(batch)

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            with torch.enable_grad():
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
            return loss

        closure()
        if two_steps:
            optimizer.first_step()
            closure()
            optimizer.second_step()
        else:
            optimizer.step(closure)
            optimizer.zero_grad()
        after()


def by_hand(make: Callable[[Any], Any], two_steps: bool = False) -> ahsar.Homeostat:
    """What one `homeostat.step()` per batch gives."""
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING)
    train(make(model.parameters()), model, homeostat.step, two_steps)
    return homeostat


# ---------------------------------------------------------------- one update per step


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("name", [*MAKERS, "SAM in two steps"])
def test_one_update_per_batch_in_every_wrapper(name: str, later: bool) -> None:
    make, two_steps = MAKERS[name.removesuffix(" in two steps")], name.endswith("in two steps")
    model = models.build()
    optimizer: Any = make(model.parameters())
    homeostat = ahsar.attach(model, None if later else optimizer, config=MOVING)
    if later:
        homeostat.follow(optimizer)
    train(optimizer, model, two_steps=two_steps)
    wanted = by_hand(make, two_steps)
    assert homeostat.steps == BATCHES and homeostat.scales == wanted.scales and homeostat.rates == wanted.rates
    homeostat.epoch(0.5)
    assert homeostat.state.largest_rate == 0.1
    assert all(abs(scale - 1) > 0.01 for scale in homeostat.scales.values())


@pytest.mark.parametrize("name", MAKERS)
def test_afterwards_an_optimizer_is_as_before(name: str) -> None:
    model = models.build()
    optimizer: Any = MAKERS[name](model.parameters())
    inside = innermost(optimizer)
    before = [set(vars(one)) for one in (optimizer, inside)]
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    homeostat.follow(optimizer)  # again, and still once
    train(optimizer, model)
    assert homeostat.steps == BATCHES
    homeostat.follow(None)
    assert [set(vars(one)) for one in (optimizer, inside)] == before
    assert not getattr(inside, "_optimizer_step_post_hooks", {})
    train(optimizer, model)
    assert homeostat.steps == BATCHES
    homeostat.follow(optimizer)
    homeostat.detach()
    assert [set(vars(one)) for one in (optimizer, inside)] == before
    train(optimizer, model)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", ["bare", "overriding", "Lookahead", "plain"])
def test_schedulers_of_the_learning_rate_come_before_or_after(name: str, first: bool) -> None:
    model = models.build()
    optimizer: Any = MAKERS[name](model.parameters())

    def scheduler() -> Any:
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=1.0)

    before = [scheduler()] * first
    step = vars(optimizer).get("step")
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    schedule = (before or [scheduler()])[0]
    train(optimizer, model, schedule.step)  # warns, if it does not find that the optimizer steps
    assert homeostat.steps == BATCHES
    homeostat.detach()
    assert not first or vars(optimizer)["step"] is step
    train(optimizer, model, schedule.step)
    assert homeostat.steps == BATCHES


@pytest.mark.parametrize("name", ["schedule-free", "overriding"])
def test_copies_of_an_optimizer_step_no_controller(name: str) -> None:
    model = models.build()
    optimizer: Any = MAKERS[name](model.parameters())
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    train(optimizer, model)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        twin.step()
        assert homeostat.steps == BATCHES
    train(optimizer, model)
    assert homeostat.steps == 2 * BATCHES


def test_a_step_that_fails_is_none() -> None:
    def fail() -> Tensor:
        raise KeyboardInterrupt

    for name in ("plain", "bare", "twice", "Lookahead"):
        model = models.build()
        optimizer: Any = MAKERS[name](model.parameters())
        homeostat = ahsar.attach(model, optimizer, config=MOVING)
        model(X).sum().backward()
        if name == "bare":
            optimizer.param_groups[0]["lr"] = "much"
        with pytest.raises((KeyboardInterrupt, TypeError)):
            optimizer.step(fail)
        assert homeostat.steps == 0
        if name == "bare":
            optimizer.param_groups[0]["lr"] = 0.1
        train(optimizer, model)
        assert homeostat.steps == BATCHES


def test_what_is_no_optimizer_is_refused_and_changes_nothing() -> None:
    model = models.build()
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    for wrong in (torch.optim.lr_scheduler.StepLR(optimizer, 1), [optimizer], GradScaler("cpu"), "adam"):
        with pytest.raises(AttachError, match=r"follow\(\): the optimizer is a \w+, not a torch"):
            homeostat.follow(wrong)  # type: ignore[arg-type]
    train(optimizer, model)
    assert homeostat.steps == BATCHES
    homeostat.detach()
    with pytest.raises(AttachError, match=r"follow\(\) after detach\(\)"):
        homeostat.follow(optimizer)


# ---------------------------------------------------------------- steps that are left out


def test_a_step_that_a_grad_scaler_skips_is_none() -> None:
    model = models.build()
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    scaler = GradScaler("cpu", init_scale=8.0)
    for batch in range(BATCHES):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), Y)
        scaler.scale(loss * (float("inf") if batch == 2 else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
    assert homeostat.steps == BATCHES - 1


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("name", ["plain", "overriding"])
def test_accelerate(name: str, prepared: bool) -> None:
    pytest.importorskip("accelerate")
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
    model = models.build()
    optimizer: Any = MAKERS[name](model.parameters())
    homeostat = None if prepared else ahsar.attach(model, optimizer, config=MOVING)
    wrapped, wrapped_optimizer = accelerator.prepare(model, optimizer)
    homeostat = homeostat or ahsar.attach(model, wrapped_optimizer, config=MOVING)
    for batch in range(BATCHES):
        with accelerator.accumulate(wrapped):
            accelerator.backward(nn.functional.cross_entropy(wrapped(models.batch(batch)[0]), Y))
            wrapped_optimizer.step()
            wrapped_optimizer.zero_grad()
    assert homeostat.steps == BATCHES // 3
    pickle.loads(pickle.dumps(wrapped_optimizer)).step()
    assert homeostat.steps == BATCHES // 3


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("name", ["plain", "SAM in two steps", "overriding"])
def test_fabric(name: str, prepared: bool) -> None:
    fabric = pytest.importorskip("lightning_fabric").Fabric(accelerator="cpu", devices=1)
    model, two_steps = models.build(), name.endswith("two steps")
    optimizer: Any = MAKERS[name.removesuffix(" in two steps")](model.parameters())
    homeostat = None if prepared else ahsar.attach(model, optimizer, config=MOVING)
    _, wrapped = fabric.setup(model, optimizer)
    homeostat = homeostat or ahsar.attach(model, wrapped, config=MOVING)
    train(wrapped, model, two_steps=two_steps)
    assert homeostat.steps == BATCHES


@pytest.mark.parametrize(("package", "path"), [("timm", "optim.lookahead.Lookahead"), ("schedulefree", "ScheduleFreeWrapper")])
def test_wrappers_of_other_packages(package: str, path: str) -> None:
    pytest.importorskip(package)
    parent, _, name = f"{package}.{path}".rpartition(".")
    model = models.build()
    inner = sgd(model.parameters())
    optimizer = getattr(importlib.import_module(parent), name)(inner)
    getattr(optimizer, "train", lambda: None)()
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    assert innermost(optimizer) is inner
    train(optimizer, model)
    assert homeostat.steps == BATCHES


# ---------------------------------------------------------------- steps that never come

FORWARDS, WRITES = 8, 12
MANY = 8 * FORWARDS  # forwards, enough to be looked at three times


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are watched, and found to be written too often, sooner than they are for users."""
    monkeypatch.setattr(pace, "FORWARDS", FORWARDS)
    monkeypatch.setattr(pace, "WRITES", WRITES)


def updates(model: nn.Module, optimizer: Any, number: int) -> None:
    for _ in range(number):
        model(X).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def quick() -> models.Net:
    """A model that trains fast: one spiking layer."""
    return models.build("buffer", depth=1)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_an_epoch_without_a_step_is_said_once_and_a_new_optimizer_can_be_followed(compiled: bool) -> None:
    model = quick()
    optimizer = torch.optim.SGD(model.readout.parameters(), lr=0.1)
    homeostat = ahsar.attach(model, optimizer, config=MOVING, compile=compiled, layers="all")
    run: Any = torch.compile(model, backend="eager") if compiled else model
    updates(run, optimizer, 3)
    homeostat.epoch(0.5)
    second = torch.optim.Adam(model.parameters())
    homeostat.hold(0.9)
    updates(run, second, 3)
    homeostat.epoch(0.5)  # held: no step is missed
    homeostat.release()
    updates(run, second, 3)
    with pytest.warns(UserWarning, match=r"the SGD that it follows does not step.*homeostat\.follow\(new_optimizer\)"):
        homeostat.epoch(0.5)
    updates(run, second, 3)
    homeostat.epoch(0.5)
    assert homeostat.steps == 3
    homeostat.follow(second)
    updates(run, second, 3)
    homeostat.epoch(0.5)
    assert homeostat.steps == 6
    torch._dynamo.reset()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("follows", [False, True])
def test_weights_that_change_without_a_step_are_said_once(follows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "OWN_WRITES", WRITES)
    model = quick()
    homeostat = ahsar.attach(model, torch.optim.SGD(model.parameters()) if follows else None, config=MOVING)
    with pytest.warns(UserWarning) as told:
        updates(model, torch.optim.SGD(model.parameters(), lr=0.0), MANY)
    (message,) = [str(warning.message) for warning in told]
    which = "the SGD that it follows does not step" if follows else "it follows no optimizer"
    assert re.search(rf"weights were written \d+ times without a step of the controller: {which}", message)
    assert "homeostat.follow(new_optimizer)" in message and "homeostat.step()" in message
    with pytest.raises(SensingError, match=r"say homeostat\.follow\(optimizer\), or call homeostat\.step\(\)"):
        homeostat.epoch(0.5)


# ---------------------------------------------------------------- and no false alarm


def accumulated(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """Gradients of many batches for a step."""
    for _ in range(2):
        for _ in range(MANY):
            model(X).sum().backward()
        optimizer.step()


def looped(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """A loop over time outside of forward, and the gradients of two sequences for a step."""
    for _ in range(2):
        for _ in range(2):
            model.reset()
            sum(model(X).sum() for _ in range(MANY // 2)).backward()  # type: ignore[union-attr]
        optimizer.step()


def online(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """A rule that learns at each time step, where the optimizer is followed."""
    updates(model, optimizer, MANY)


def online_by_hand(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """A rule that learns at each time step, and the user's step of the controller behind the sequence."""
    homeostat.follow(None)
    for _ in range(2):
        updates(model, optimizer, MANY)
        homeostat.step()


def long_online_by_hand(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """The same where the user follows the optimizer of a few weights, which steps seldom from the start."""
    rare = torch.optim.SGD(list(model.parameters())[-1:], lr=0.0)
    homeostat.follow(rare)
    for number in (FORWARDS + WRITES // 2, MANY):  # once that so many are usual, some more are too
        updates(model, optimizer, number)
        rare.step()


def paused(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    with homeostat.paused():
        updates(model, torch.optim.SGD(model.parameters(), lr=0.0), MANY)
        homeostat.epoch(0.5)
    updates(model, optimizer, 1)


def held(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    homeostat.hold(0.8)
    updates(model, torch.optim.SGD(model.parameters(), lr=0.0), MANY)
    homeostat.epoch(0.5)
    homeostat.release()
    updates(model, optimizer, 1)


def without_weights(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """Gradients that no one steps by: attacks, saliency, Fisher's information."""
    updates(model, torch.optim.SGD([nn.Parameter(torch.zeros(()))]), MANY)
    updates(model, optimizer, 1)


def twin(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """An average of the weights: written at each step, run in training mode, and never stepped."""
    average = copy.deepcopy(model)
    for _ in range(MANY):
        with torch.no_grad():
            average(X)
            for weight in average.parameters():
                weight.mul_(1.0)


def evaluated(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    """Two metrics of one epoch, and one before a saved state is trained on."""
    homeostat.epoch(0.5)
    homeostat.epoch(0.6)
    model.eval()
    model(X)
    homeostat.epoch(0.6)
    model.train()
    homeostat.load_state_dict(homeostat.state_dict())
    homeostat.epoch(0.6)


def calibrated(model: Any, homeostat: ahsar.Homeostat, optimizer: Any) -> None:
    homeostat.epoch(0.5)
    with pytest.warns(UserWarning, match="did not reach"):
        homeostat.calibrate([X], updates=1, tolerance=1e-6)
    homeostat.epoch(0.5)


QUIET = (
    accumulated, looped, online, online_by_hand, long_online_by_hand,
    paused, held, without_weights, twin, evaluated, calibrated,
)  # fmt: skip


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("scenario", QUIET, ids=lambda scenario: scenario.__name__)
def test_what_is_as_it_should_be_is_not_warned_of(scenario: Any) -> None:
    model = models.build("steps", depth=1) if scenario is looped else quick()
    if scenario is looped:  # a forward is one time step
        model.forward = lambda x: model.readout(model.neurons[0](model.synapses[0](x))[0])  # type: ignore[method-assign]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    homeostat = ahsar.attach(model, optimizer, config=MOVING, layers="all")
    updates(model, optimizer, 1)
    scenario(model, homeostat, optimizer)  # warnings are errors
    homeostat.epoch(0.5)
