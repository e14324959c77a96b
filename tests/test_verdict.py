"""What attach makes of layers before it touches them, and that `ahsar inspect` shows the same."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar import AttachError
from ahsar.cli.rows import inspect_target
from ahsar.verdict import in_words
from tests import models
from tests.models import LIF

FLAW = r"{} of its {} thresholds, the least of them {} at {}, (is|are) not finite and above rest \(0\)"


def stack(*thresholds: Any) -> nn.Sequential:
    """Layers of neurons with these thresholds, each behind weights, and a readout: [T, N, FEATURES] to [T, N, CLASSES]."""
    torch.default_generator.manual_seed(0)
    widths = [models.FEATURES] + [models.WIDTH] * len(thresholds)
    parts: list[nn.Module] = []
    for width, threshold in zip(widths, thresholds, strict=False):
        parts += [nn.Linear(width, models.WIDTH), LIF(threshold)]
    return nn.Sequential(*parts, nn.Linear(models.WIDTH, models.CLASSES))


def attached_before() -> nn.Module:
    model = stack(1.0)
    ahsar.attach(model)
    return model


def compiled_before() -> Any:
    return nn.Sequential(stack(1.0), torch.compile(LIF(), backend="eager"))  # type: ignore[arg-type]


def of_two_kinds() -> nn.Module:
    from spikingjelly.activation_based import neuron

    return nn.Sequential(LIF(), neuron.DSRIFNode(), LIF(torch.tensor([1.0, 2.0])))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "healthy": lambda: stack(1.0, torch.tensor(0.5), nn.Parameter(torch.tensor(0.3))),
    "infinite": lambda: stack(1.0, float("inf")),
    "negative": lambda: stack(nn.Parameter(torch.tensor([1.0, -0.1, 1.0])), 1.0, 0.0),
    "not_numbers": lambda: stack(1.0, torch.tensor([float("nan"), 1.0])),
    "high": lambda: stack(1.0, 1.0, 1e9),
    "a_word": lambda: stack("low", 1.0),
    "parallel": lambda: nn.DataParallel(stack(1.0)),
    "attached": attached_before,
    "compiled": compiled_before,
    "skipped": of_two_kinds,
    "on_meta": lambda: stack(torch.tensor(1.0), torch.tensor(1.0)).to("meta"),
}
globals().update(MODELS)  # where `inspect` finds them


@pytest.mark.parametrize("name", MODELS)
def test_inspect_says_what_attach_does(name: str) -> None:
    rows = {row.name: row for row in inspect_target(f"{__name__}:{name}")}
    refused = {row.name: row.skipped for row in rows.values() if row.refused}
    if refused:
        with pytest.raises(AttachError) as caught:
            ahsar.attach(MODELS[name]())
        for layer, reason in refused.items():
            assert reason in str(caught.value)
            assert repr(layer) in str(caught.value) or name in ("parallel", "attached")
        if rest := [layer for layer, row in rows.items() if not row.skipped]:
            ahsar.attach(MODELS[name](), layers=rest)  # nothing else is in the way
        return
    model = MODELS[name]()
    homeostat = ahsar.attach(model)
    alone = {layer for layer, row in rows.items() if "unless layers= names it" in row.skipped}
    assert {layer.name for layer in homeostat.layers} - alone == {layer for layer, row in rows.items() if not row.skipped}
    assert alone == ({"5"} if name == "high" else set())


def test_what_is_refused_is_what_should_be() -> None:
    refused = {name for name in MODELS if any(row.refused for row in inspect_target(f"{__name__}:{name}"))}
    assert refused == {"infinite", "negative", "not_numbers", "a_word", "parallel", "attached", "compiled"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({7: -0.01}, FLAW.format(1, 4096, "-0.01", r"\[7\]")),
        ({7: -0.01, 4000: -2.0, 4095: float("inf")}, FLAW.format(3, 4096, "-2", r"\[4000\]")),
        ({5: float("inf")}, FLAW.format(1, 4096, "inf", r"\[5\]")),
        ({9: -5.0, 1000: float("nan")}, FLAW.format(2, 4096, "nan", r"\[1000\]")),
    ],
)
def test_bad_thresholds_are_counted_and_the_least_is_shown(bad: dict[int, float], said: str) -> None:
    threshold = torch.rand(4096) + 0.1
    for place, value in bad.items():
        threshold[place] = value
    with pytest.raises(AttachError, match=said) as caught:
        ahsar.attach(nn.Sequential(LIF(threshold)))
    assert len(str(caught.value)) < 300
    square = said.replace(r"\[7\]", r"\[0, 7\]").replace(r"\[4000\]", r"\[62, 32\]")
    square = square.replace(r"\[5\]", r"\[0, 5\]").replace(r"\[1000\]", r"\[15, 40\]")
    with pytest.raises(AttachError, match=square):
        ahsar.attach(nn.Sequential(LIF(threshold.reshape(64, 64))))


def run(model: nn.Module, homeostat: ahsar.Homeostat, updates: int = 30) -> list[str]:
    """Updates, an epoch, and what was warned of."""
    x = models.batch(0)[0].expand(models.STEPS, -1, -1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(updates):
            model(x)
            homeostat.step()
        homeostat.epoch(0.5)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("make", [float, torch.tensor, lambda level: torch.full((models.WIDTH,), level)])
def test_a_threshold_out_of_reach_is_left_alone_and_its_neighbours_never_know(make: Any, place: int) -> None:
    thresholds = [1.0, 0.4, 0.7]
    thresholds[place] = 1e9
    config = ahsar.Config(diffusion=0.15)
    model = stack(*map(make, thresholds))
    homeostat = ahsar.attach(model, config=config)
    said = run(model, homeostat)
    name = str(2 * place + 1)
    assert "1e+09, is out of reach" in homeostat.left_alone[name] and list(homeostat.left_alone) == [name]
    (text,) = [text for text in said if "is left alone" in text]
    assert f"layer {name!r}" in text and "layers=" in text
    twin = stack(*map(make, thresholds))
    others = [layer for layer in ("1", "3", "5") if layer != name]
    without = ahsar.attach(twin, config=config, layers=others)
    run(twin, without)
    assert homeostat.scales == without.scales and any(scale != 1 for scale in without.scales.values())
    assert torch.equal(torch.as_tensor(model[2 * place + 1].firing_level), torch.as_tensor(make(1e9)))


def test_named_layers_are_regulated_whatever_their_threshold_and_rates_that_stay_0_are_said() -> None:
    for layers in ("all", ["1", "3", "5"]):
        model = stack(1.0, 1.0, 1e9)
        homeostat = ahsar.attach(model, layers=layers)
        said = run(model, homeostat)
        assert homeostat.scales["5"] < 1 and not homeostat.left_alone
        assert any("'5'" in text and "below 1 %" in text for text in said)


def test_a_readout_that_is_the_answer_is_told_without_a_warning() -> None:
    model = stack(1.0, 1.0, 1e9)[:-1]
    homeostat = ahsar.attach(model)
    assert not [text for text in run(model, homeostat) if "'5'" in text]
    assert homeostat.left_alone == {"5": "its spikes are the model's answer"}


def test_thresholds_of_one_order_are_all_regulated() -> None:
    for levels in ((1.0, 500.0, 0.6), (1e5, 2e5, 3e5), (1e9,), (1e-3, 1e-3, 2e-3)):
        model = stack(*levels)
        homeostat = ahsar.attach(model)
        run(model, homeostat, 1)
        assert not homeostat.left_alone


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        (torch.tensor(0.5), "0.5"),
        (torch.full((4096,), 0.25), "0.25"),
        (torch.linspace(0.5, 2.0, 4096), "0.5 … 2"),
        (torch.empty(3, device="meta"), "not known yet"),
    ],
)
def test_a_threshold_in_words_is_short(threshold: Tensor, words: str) -> None:
    assert in_words(threshold) == words
