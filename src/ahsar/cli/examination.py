"""One net on one input: how often its layers fire as they are, and attached."""

import importlib.metadata
import math
import platform
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ahsar
from ahsar.cli.rows import threshold_of
from ahsar.cli.target import build_model
from ahsar.discovery import discover
from ahsar.errors import AttachError, DataError
from ahsar.files import load_saved
from ahsar.verdict import refusal_of_model
from ahsar.view import standing

FRAMEWORKS = ("spikingjelly", "snntorch", "norse", "sinabs", "rockpool", "tracetorch", "braincog", "bindsnet")
FORWARDS = 10  # of a net that is called once per time step, its membranes need some to get anywhere
_SIZES = (28, 32, 16, 64, 128, 8)  # of pictures that are tried
_STEPS = 4  # of time, where the first dimension is that


def versions() -> dict[str, str]:
    """Python, ahsar, PyTorch, the frameworks that are installed, and the device."""
    found = {"python": platform.python_version(), "ahsar": ahsar.__version__, "torch": torch.__version__}
    for name in FRAMEWORKS:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return {**found, "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}


def examine(target: str, batch: int, shape: str | None, data: str | None) -> dict[str, Any]:
    """What `ahsar doctor` says of a model.

    Returns:
        `input`: in words; `layers`: of each spiking layer its `name`, `class`, `threshold`, `rate` as it is and its `state`
        (silent, low, in band, high), `attached_rate` and `scale` after as many updates as a layer is led for, and `advice`;
        `left_alone`: reasons by layer; `verdict`: a sentence.

    Raises:
        AttachError: there is no such model, or nothing of it can be regulated.
        DataError: the model does not take the input.
    """
    model = build_model(target)
    if reason := refusal_of_model(model):
        raise AttachError(f"{target}: {reason}")
    x, said = _input(model, batch, shape, data)
    found, config = {item.name: item for item in discover(model)}, ahsar.Config()
    thresholds = {name: threshold_of(item)[0] for name, item in found.items()}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # what they say stands in the table
        homeostat = ahsar.attach(model)
        for _ in range(FORWARDS):
            model(x)
        homeostat.step()
        before = homeostat.rates
        for _ in range(config.grace):  # as in training, but for the weights
            model(x)
            homeostat.step()
    rows = []
    for name, rate in before.items():
        state = "did not run" if math.isnan(rate) else standing(rate, config.set_point, config)
        row = {"name": name, "class": type(found[name].module).__name__, "threshold": thresholds[name]}
        row |= {"rate": rate, "state": state, "attached_rate": homeostat.rates[name], "scale": homeostat.scales[name]}
        rows.append({**row, "advice": _advice(state, homeostat.rates[name], config)})
    skipped = {name: item.reason for name, item in found.items() if item.reason is not None}
    homeostat.detach()
    return {
        "input": said,
        "layers": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "left_alone": {**skipped, **homeostat.left_alone},
        "verdict": _verdict([row["state"] for row in rows]),
    }


def _input(model: nn.Module, batch: int, shape: str | None, data: str | None) -> tuple[Tensor, str]:
    """The input to look with, in which the model runs, and what it is."""
    torch.manual_seed(0)
    if data is not None:
        x = load_saved(Path(data), "a tensor, an input of the model", DataError)
        if not isinstance(x, Tensor):
            raise DataError(f"--data {data}: holds a {type(x).__name__}, not a tensor")
        return _running(model, [x], f"--data {data}"), f"{data}, shape {tuple(x.shape)}"
    if shape is not None:
        try:
            sizes = [int(size) for size in shape.split(",")]
        except ValueError:
            raise DataError(f"--input {shape}: write sizes with commas between, as 8,3,32,32") from None
        return _running(model, [torch.rand(sizes)], f"--input {shape}"), f"random, shape {tuple(sizes)}"
    x = _running(model, map(torch.rand, _guesses(model, batch)), "no --input was given, and none of those guessed fits")
    return x, f"random, shape {tuple(x.shape)} (a guess; --input gives another)"


def _running(model: nn.Module, inputs: Any, what: str) -> Tensor:
    """The first input that the model takes."""
    said = "the model has no linear layer or convolution to guess from"
    for x in inputs:
        try:
            with torch.no_grad():
                model(x)
        except Exception as error:
            said = f"shape {tuple(x.shape)}: {type(error).__name__}: {error}"
        else:
            return x
    raise DataError(f"{what}: {said}. Give the shape of a whole input with --input, or one in a file with --data")


def _guesses(model: nn.Module, batch: int) -> list[tuple[int, ...]]:
    """Shapes that the model's first layer with weights may take, with and without a dimension of time in front."""
    for module in nn.Module.modules(model):
        if isinstance(module, nn.Linear):
            return [(batch, module.in_features), (_STEPS, batch, module.in_features)]
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            rank = 1 if isinstance(module, nn.Conv1d) else 2
            plain = [(batch, module.in_channels, *(size,) * rank) for size in _SIZES]
            return [*plain, *((_STEPS, *one) for one in plain)]
    return []


def _advice(state: str, attached: float, config: ahsar.Config) -> str:
    """What to do where the controller alone does not help."""
    if state == "did not run":
        return "used in no forward, or called past its hooks"
    if attached > 0.95:
        return "are these its spikes, and not its membrane?"
    if attached < config.rescue[0] * config.set_point:
        return "its input is too small: larger initial weights, or a far lower threshold"
    return ""


def _verdict(states: list[str]) -> str:
    """What to expect of the controller here."""
    off = [state for state in states if state in ("silent", "low", "high")]
    if not states:
        return "Nothing is regulated here."
    if not off:
        return "All layers are within the band: the controller would leave them alone, bit for bit."
    counts = ", ".join(f"{off.count(state)} {state}" for state in ("silent", "low", "high") if state in off)
    return f"Of {len(states)} layers {counts}: the controller would lead them to the band when training begins."


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
