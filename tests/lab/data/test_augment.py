"""Augmentations: each is what it says, the same for a seed, and only for training."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ahsar.errors import WorkloadError
from ahsar.lab import data
from ahsar.lab.data import augment
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import DATA
from ahsar.lab.spec.sections import AUGMENTATIONS, Data
from ahsar.lab.trial.run import run_trial
from tests.lab import tiny

N, SIDE = 64, 16


def build(*names: str, seed: int = 0, normalised: data.Normalisation | None = None) -> augment.Augment:
    kind = "nmnist" if names and names[0].startswith("event-") else "cifar10"
    return augment.build(Data(name=kind, val_size=10, augment=names), seed, normalised)


def images(channels: int = 3) -> Tensor:
    """Images in which every pixel has a value of its own, none of them zero."""
    return torch.rand(N, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 0.9 + 0.05


def events() -> Tensor:
    return torch.randint(0, 5, (N, 3, 2, SIDE, SIDE), generator=torch.Generator().manual_seed(1)).float()


def batch(name: str) -> Tensor:
    return events() if name.startswith("event-") else images()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_seed_gives_the_same_batches_and_the_global_generators_rest(name: str) -> None:
    x = batch(name)
    kept, before = x.clone(), torch.get_rng_state()
    one, two, other = build(name), build(name), build(name, seed=1)
    first = one(x)
    torch.rand(3)  # what a model draws in between must not matter
    drawn = torch.get_rng_state()
    assert torch.equal(first, two(x)) and torch.equal(second := one(x), two(x))
    assert torch.equal(torch.get_rng_state(), drawn) and not torch.equal(drawn, before)
    assert not torch.equal(first, second) and not torch.equal(first, other(x))
    assert first.shape == x.shape and first.dtype == x.dtype and torch.equal(x, kept)


def test_without_names_nothing_is_changed() -> None:
    x = images()
    assert build()(x) is x


@pytest.mark.parametrize("name", ["flip", "event-flip"])
def test_a_flipped_sample_is_itself_or_its_mirror_image(name: str) -> None:
    x = batch(name)
    y = build(name)(x)
    same = [torch.equal(a, b) for a, b in zip(x, y, strict=True)]
    mirrored = [torch.equal(a.flip(-1), b) for a, b in zip(x, y, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert N / 4 < sum(mirrored) < 3 * N / 4


def test_a_crop_is_a_shifted_window_of_the_padded_image() -> None:
    x, pad = images(), SIDE // 8
    y = build("crop")(x)
    padded = torch.nn.functional.pad(x, (pad,) * 4)
    seen = set()
    for one, wide in zip(y, padded, strict=True):
        places = [(i, j) for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
        found = [(i, j) for i, j in places if torch.equal(one, wide[:, i : i + SIDE, j : j + SIDE])]
        assert len(found) == 1
        seen.add(found[0])
    assert {i for i, _ in seen} == {j for _, j in seen} == set(range(2 * pad + 1))


def test_cutout_zeros_one_square_of_half_the_side() -> None:
    x = images()
    y = build("cutout")(x)
    sizes = set()
    for before, after in zip(x, y, strict=True):
        hole = (after == 0).all(0)
        assert torch.equal(after, before.masked_fill(hole, 0))
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert hole.sum() == len(rows) * len(columns)
        for line in (rows, columns):
            assert torch.equal(line, torch.arange(int(line[0]), int(line[-1]) + 1))
            touches = line[0] == 0 or line[-1] == SIDE - 1
            assert len(line) == SIDE // 2 or (touches and SIDE // 4 <= len(line) < SIDE // 2)
            sizes.add(len(line))
    assert max(sizes) == SIDE // 2 and min(sizes) < SIDE // 2


def test_a_roll_moves_all_frames_alike_and_loses_no_event() -> None:
    x, reach = events(), SIDE // 8
    y = build("event-roll")(x)
    assert torch.equal(y.sum((-1, -2)), x.sum((-1, -2)))
    seen = set()
    for before, after in zip(x, y, strict=True):
        shifts = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
        found = [shift for shift in shifts if torch.equal(after, before.roll(shift, (-2, -1)))]
        assert len(found) == 1
        seen.add(found[0])
    assert {i for i, _ in seen} == {j for _, j in seen} == set(range(-reach, reach + 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_autoaugment_is_torchvisions_on_bytes(channels: int) -> None:
    from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

    pixels = torch.randint(0, 256, (8, channels, SIDE, SIDE), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    mean, deviation = torch.rand(channels, 1, 1), torch.rand(channels, 1, 1) + 0.1
    x = (pixels / 255 - mean) / deviation
    seed = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(augment._STREAM)))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy = AutoAugment(AutoAugmentPolicy.CIFAR10)
        wanted = torch.stack([policy(image) for image in pixels])
    y = build("autoaugment", normalised=(mean, deviation))(x)
    assert torch.equal(((y * deviation + mean) * 255).round().to(torch.uint8), wanted)
    assert not torch.equal(wanted, pixels)
    assert torch.allclose(build("autoaugment")(pixels / 255) * 255, wanted.float())


def test_autoaugment_without_torchvision_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.transforms.v2", None)
    with pytest.raises(WorkloadError, match=r"'autoaugment', which needs torchvision; pip install"):
        build("autoaugment")


def test_operations_follow_one_another() -> None:
    x = images()
    chain = build("crop", "flip", "cutout")
    generator = torch.Generator().manual_seed(augment._STREAM)
    wanted = augment._cutout(augment._flip(augment._crop(x, generator), generator), generator)
    assert torch.equal(chain(x), wanted)
    assert not torch.equal(build("cutout", "crop", "flip")(x), wanted)


def test_channels_without_pixels_are_refused() -> None:
    assert DATA["shd"].events
    with pytest.raises(WorkloadError, match="augment has 'event-flip', but shd has channels and no pixels"):
        augment.build(Data(name="shd", val_size=10, augment=("event-flip",)), 0)


def test_training_sees_changed_batches_and_evaluation_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = workload.load(tiny.write(tmp_path, steps=10))
    changed = replace(plain, data=replace(plain.data, augment=("crop", "flip")))
    splits = data.load(plain)
    built: list[tuple[Any, ...]] = []
    batches: list[Tensor] = []
    original = augment.build

    def spy(*arguments: Any) -> augment.Augment:
        built.append(arguments)
        change = original(*arguments)

        def record(x: Tensor) -> Tensor:
            batches.append(change(x))
            return batches[-1]

        return record

    monkeypatch.setattr(augment, "build", spy)
    records = {arm: run_trial(changed, splits, arm, 3) for arm in ("baseline", "attached")}
    assert [seed for _, seed, _ in built] == [3, 3]
    assert len(batches) == 20  # one a step, none for evaluation
    assert all(torch.equal(a, b) for a, b in zip(batches[:10], batches[10:], strict=True))
    assert records["baseline"]["digest"] == records["attached"]["digest"]
    without = run_trial(plain, splits, "baseline", 3)
    assert without["digest"] != records["baseline"]["digest"]
    assert without["curve"][0]["val_loss"] == records["baseline"]["curve"][0]["val_loss"]
