"""What a snapshot gives back: the same objects with their old content, however they were changed."""

import copy
import random
from collections import OrderedDict, defaultdict, deque
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import ahsar
from ahsar.snapshot import Snapshot, untouched
from tests import models


class Pair(NamedTuple):
    v: Any
    i: Any


def tensors(value: float) -> Tensor:
    return torch.full((2,), value)


leaves = st.one_of(
    st.none(), st.integers(), st.floats(allow_nan=False), st.text(max_size=2), st.floats(-1, 1).map(tensors),
    st.floats(-1, 1).map(lambda value: np.full(2, value)), st.integers(0, 9).map(random.Random),
    st.integers(0, 9).map(np.random.default_rng), st.integers(0, 9).map(np.random.RandomState),
    st.integers(0, 9).map(lambda seed: torch.Generator().manual_seed(seed)),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(lambda items: deque(items, maxlen=3)),
        st.dictionaries(st.text(max_size=1), inner, max_size=3),
        st.dictionaries(st.text(max_size=1), inner, max_size=3).map(OrderedDict),
        st.dictionaries(st.text(max_size=1), inner, max_size=3).map(lambda items: defaultdict(list, items)),
        st.sets(st.integers(0, 5), max_size=3),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=6,
)


def plain(value: Any) -> Any:
    """The content of a value, to compare."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value.tolist()
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state())
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, dict):
        return [(key, plain(item)) for key, item in value.items()]
    return [plain(item) for item in value] if isinstance(value, (list, tuple, deque, set)) else value


def identities(value: Any) -> list[int]:
    """All objects in it."""
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, (list, tuple, deque)) else []
    return [id(value), *(found for item in items for found in identities(item))]


def disturb(value: Any) -> None:
    """Change it in place, and all that is in it."""
    for item in list(value.values()) if isinstance(value, dict) else value if isinstance(value, (list, tuple, deque)) else []:
        disturb(item)
    if isinstance(value, (Tensor, np.ndarray)):
        value += 1
    elif isinstance(value, torch.Generator):
        torch.rand(1, generator=value)
    elif isinstance(value, (random.Random, np.random.RandomState, np.random.Generator)):
        value.random()
    elif isinstance(value, dict):
        value.pop(next(iter(value), None), None)
        value["new"] = 1
    elif isinstance(value, set):
        value ^= {1, 7}
    elif isinstance(value, (list, deque)):
        value.append("new")


@given(values, st.booleans())
def test_attributes_come_back_as_the_same_objects_with_their_old_content(value: Any, buffer: bool) -> None:
    module: Any = nn.Module()
    module.state = value
    module.register_buffer("kept", tensors(1.0))
    kept, before, objects = module.kept, plain(value), identities(value)
    snapshot = Snapshot(nn.Sequential(module))
    for _ in range(2):
        disturb(value)
        module.state, module.late = "another", 1
        if buffer:
            module.kept = tensors(3.0)
        else:
            module.kept += 1
        snapshot.restore()
        assert module.state is value and plain(value) == before and identities(value) == objects
        assert module.kept is kept and kept.tolist() == [1, 1] and not hasattr(module, "late")


def test_what_two_modules_share_stays_shared_and_what_holds_itself_is_no_trap() -> None:
    model: Any = nn.Sequential(nn.Module(), nn.Module())
    shared: list[Any] = [tensors(1.0)]
    shared.append(shared)
    model[0].line = model[1].line = shared
    snapshot = Snapshot(model)
    shared.clear()
    model[1].line = None
    snapshot.restore()
    assert model[0].line is model[1].line is shared and shared[1] is shared and shared[0].tolist() == [1, 1]


def test_a_tensor_that_did_not_change_keeps_its_graph_and_its_version() -> None:
    module: Any = nn.Module()
    x = torch.ones(2, requires_grad=True)
    module.state = 2 * x
    loss = (module.state**2).sum()
    snapshot = Snapshot(module)
    module.state = module.state.detach() + 1
    snapshot.restore()
    loss.backward()
    assert x.grad is not None and x.grad.tolist() == [8, 8]


def test_a_tensor_that_was_changed_past_all_counting_or_resized_has_its_content_again() -> None:
    module: Any = nn.Module()
    module.state, module.grown, module.empty = tensors(1.0), tensors(1.0), torch.empty(2, device="meta")
    snapshot = Snapshot(module)
    module.state.data.add_(1)
    module.grown.resize_(3)
    snapshot.restore()
    assert module.state.tolist() == module.grown.tolist() == [1, 1]


def of_bytes() -> np.ndarray:
    """Of a buffer that can never be written to."""
    return np.frombuffer(np.array([1.0, 2.0, np.nan]).tobytes())


def shown() -> np.ndarray:
    """A view that is read-only, of an array that is not."""
    view = np.array([1.0, 2.0, np.nan])[:]
    view.flags.writeable = False
    return view


def locked(array: np.ndarray) -> None:
    array += 1
    array.flags.writeable = False


def unlocked(array: np.ndarray) -> None:
    array.flags.writeable = True
    array += 1


ARRAYS: dict[str, tuple[Any, Any]] = {
    "made read-only": (lambda: np.array([1.0, 2.0, np.nan]), locked),
    "read-only from the start": (of_bytes, lambda array: None),
    "a view, changed through its base": (shown, lambda array: array.base.__iadd__(1)),
    "unlocked": (shown, unlocked),
    "resized": (lambda: np.array([1.0, 2.0, np.nan]), lambda array: array.resize(5, refcheck=False)),
    "another type": (lambda: np.array([1.0, 2.0, np.nan]), lambda array: setattr(array, "dtype", np.int64)),
    "of objects": (lambda: np.array([None, "a"]), lambda array: array.fill(3)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("ignore:Setting the dtype:DeprecationWarning")  # of NumPy 2.5
def test_arrays_come_back_whether_they_can_be_written_to_or_not(name: str) -> None:
    make, change = ARRAYS[name]
    module: Any = nn.Module()
    array = module.state = make()
    before, writeable = array.tolist(), array.flags.writeable
    snapshot = Snapshot(module)
    for _ in range(2):
        change(array)
        snapshot.restore()
        assert repr(module.state.tolist()) == repr(before) and module.state.flags.writeable == writeable
        assert module.state is array or name in ("resized", "another type")
        array = module.state


def test_an_array_whose_buffer_is_locked_for_good_is_replaced() -> None:
    module: Any = nn.Module()
    base = np.zeros(2)
    module.state = view = base[:]
    snapshot = Snapshot(module)
    base += 1
    view.flags.writeable = base.flags.writeable = False
    snapshot.restore()
    assert module.state.tolist() == [0, 0] and module.state.flags.writeable and base.tolist() == [1, 1]


def test_parameters_modules_and_other_objects_are_left_as_they_are() -> None:
    class Log:
        lines = 0

    module: Any = nn.Linear(2, 2)
    module.log, module.parts = Log(), [nn.Linear(2, 2), nn.Parameter(tensors(1.0)), random.SystemRandom()]
    snapshot = Snapshot(module)
    module.log.lines = 3
    with torch.no_grad():
        module.parts[1].add_(1)
        module.weight.fill_(1)
    snapshot.restore()
    assert module.log.lines == 3 and module.parts[1].tolist() == [2, 2] and module.weight.tolist() == [[1, 1], [1, 1]]


class Noisy(nn.Module):
    """Draws from every global generator, and keeps a delay line and generators of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.past: deque[Tensor] = deque(maxlen=3)
        self.own, self.arrays = torch.Generator(), np.random.default_rng(0)
        self.inner = models.build()

    def forward(self, x: Tensor) -> Tensor:
        noise = np.random.rand() + random.random() + self.arrays.random() + torch.rand(1, generator=self.own) + torch.rand(1)
        self.past.append(x + 0.1 * noise)
        return self.inner(self.past[0].float())


def draws(model: Noisy) -> list[Any]:
    """What the next draws will be, without drawing."""
    return [
        random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist(), model.own.get_state().tolist(),
        model.arrays.bit_generator.state, [x.tolist() for x in model.past],
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:calibrate.. did not reach")
def test_calibrate_leaves_no_trace_in_any_generator_or_delay_line() -> None:
    model = Noisy()
    x = models.batch(0)[0]
    model(x)
    homeostat = ahsar.attach(model, layers="all")
    before, first = draws(model), model.past[0]
    homeostat.calibrate([x], updates=5, tolerance=0.01)
    assert draws(model) == before and model.past[0] is first


def test_generators_come_back_after_an_error_too() -> None:
    model = Noisy()
    before = copy.deepcopy(draws(model))
    with pytest.raises(InterruptedError), untouched(model):
        model(models.batch(0)[0])
        raise InterruptedError
    assert draws(model) == before
