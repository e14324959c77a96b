"""What users do with a model besides running and training it: each to a model and, by hand, to its twin."""

import copy
import pickle
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

import ahsar
from tests.adapters.case import BATCH

from .common import quiet
from .pair import Pair, attempt
from .twin import attributes, kind, put, scaled, start


def attach(pair: Pair, config: ahsar.Config, layers: Any, follows: bool, compile: bool) -> None:
    optimizer = pair.optimizers[0] if follows else None
    with quiet():
        got = attempt(lambda: ahsar.attach(pair.model, optimizer, config=config, layers=layers, compile=compile))
    if isinstance(got, ahsar.AttachError):
        assert "above rest" in str(got)  # training may bring it below
    elif isinstance(got, Exception):
        raise got
    else:
        pair.homeostat, pair.follows, pair.compile, pair.sums = got, follows, compile, {}
        pair.exact = pair.exact and not compile


def end(pair: Pair, baked: bool) -> None:
    """Bake, or detach."""
    assert pair.homeostat is not None
    for name, (case, twin) in pair.layers(pair.twin).items() if baked else ():
        scale = pair.scales.get(name, 1.0)
        for path in attributes(case) if scale != 1.0 else ():
            own = attrgetter(path)(twin)
            if isinstance(own, nn.Parameter):
                own.data = scaled(case, own, scale)
            else:
                put(twin, path, scaled(case, own, scale))
        start(case, twin, scale)
    pair.homeostat.bake() if baked else pair.homeostat.detach()
    pair.homeostat, pair.sums, pair.compile, pair.compiled = None, {}, False, None


def set_thresholds(pair: Pair, factor: float) -> None:
    """The user's own, of the first layer, where it is stored as it is."""
    case, twin = pair.layers(pair.twin)["neurons.n0"]
    for path in attributes(case):
        own = attrgetter(path)(twin)
        if kind(case) != "plain" or isinstance(own, int) or (isinstance(own, Tensor) and not own.is_floating_point()):
            continue
        new = scaled(case, own, factor)
        for net in (pair.twin, pair.model):
            module = pair.layers(net)["neurons.n0"][1]
            if isinstance(own, nn.Parameter):
                with torch.no_grad():
                    attrgetter(path)(module).copy_(new)
            else:
                put(module, path, new.clone() if isinstance(new, Tensor) else new)
                pair.set_anew = True


def copied(pair: Pair, how: str) -> Pair | None:
    """A copy of the model, with a controller of its own that nothing steps; None where the framework makes none."""
    if not all(case.copies for case in pair.plan.cases):
        return None
    pair.forward("no_grad", False, 0)  # states of a training forward hang on its graph
    duplicate = copy.deepcopy if how == "deepcopy" else lambda net: pickle.loads(pickle.dumps(net))
    wanted, got = (attempt(lambda net=net: duplicate(net)) for net in (pair.twin, pair.model))
    if isinstance(wanted, Exception):
        assert isinstance(got, Exception), wanted  # which one depends on what is pickled first
        return None
    if isinstance(got, Exception):
        raise got
    new = copy.copy(pair)
    new.model, new.twin, new.homeostat = got, wanted, ahsar.attached(got)
    new.sums, new.follows, new.compiled = dict(pair.sums), False, None
    new.optimize()
    return new


def adapt(pair: Pair, rounds: int, keep: bool) -> None:
    """Test batches in a context of its own."""
    homeostat = pair.homeostat
    assert homeostat is not None
    if homeostat.state.held is not None:
        got = attempt(lambda: homeostat.adapting(keep=keep).__enter__())
        assert isinstance(got, ahsar.AttachError)
        return
    before, steps, sums = homeostat.scales, homeostat.steps, pair.sums
    with quiet(), homeostat.adapting(keep=keep) as adaptation:
        pair.sums, pair.in_eval = {}, True
        for number in range(rounds):
            pair.forward("no_grad", False, number)
            if pair.sums:
                homeostat.step()
            pair.sums = {}
            pair.check()
        if not keep:
            adaptation.reset()
        inside = homeostat.scales
    pair.sums, pair.in_eval = {name: value for name, value in sums.items() if name in homeostat.scales}, False
    assert homeostat.steps == steps
    kept = inside if keep else before
    assert homeostat.scales == {name: kept[name] for name in homeostat.scales}


def calibrate(pair: Pair, number: int) -> None:
    """Two updates; nothing but the scales differs afterwards, and nothing that was sensed counts."""
    assert pair.homeostat is not None
    generator = torch.Generator().manual_seed(number)
    batches = [torch.randn(BATCH, pair.plan.width, generator=generator).to(pair.dtype) for _ in range(2)]
    with quiet(), torch.no_grad():
        wanted = attempt(lambda: copy_run(pair, batches[0]))
    with quiet():
        got = attempt(lambda: pair.homeostat and pair.homeostat.calibrate(batches, updates=2))
    if isinstance(got, Exception) and not isinstance(wanted, Exception):
        raise got
    pair.sums = {}


def copy_run(pair: Pair, x: Tensor) -> Tensor:
    """A forward of the twin that leaves its buffers as they were, in their shapes too."""
    stores = [module._buffers for module in pair.twin.modules()]
    kept = [{name: None if value is None else value.clone() for name, value in store.items()} for store in stores]
    try:
        return pair.twin(x)
    finally:
        for store, values in zip(stores, kept, strict=True):
            store.update(values)
