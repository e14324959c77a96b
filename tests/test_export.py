"""Baked models leave for NIR with their scaled thresholds, and rounding to integers is checked before a chip does it."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar import ExportError, cli
from ahsar.export import check_rounding, to_nir
from tests.lab import tiny

STEPS, BATCH = 12, 5
needs_nir = pytest.mark.skipif(importlib.util.find_spec("nirtorch") is None, reason="nir and nirtorch are not installed")
# nirtorch names its own parts by their old names, and snnTorch's exporter reads arrays in a deprecated way
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def spikingjelly_net() -> Any:
    from spikingjelly.activation_based import neuron

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), neuron.LIFNode(tau=2.0), nn.Linear(20, 4), neuron.IFNode())


def snntorch_net() -> Any:
    import snntorch as snn

    torch.manual_seed(0)
    # its exporter takes one threshold and one decay per neuron
    leaky: Any = snn.Leaky
    lif1, lif2 = (leaky(torch.full((n,), 0.8), torch.ones(n), init_hidden=True) for n in (20, 4))
    return nn.Sequential(nn.Linear(6, 20), lif1, nn.Linear(20, 4), lif2)


def sequence() -> Tensor:
    return 3 * torch.rand(STEPS, BATCH, 6, generator=torch.Generator().manual_seed(1))


def run(net: Any, x: Tensor) -> Tensor:
    from spikingjelly.activation_based import functional

    functional.reset_net(net)
    with torch.no_grad():
        return torch.stack([net(step) for step in x])


def regulated(net: Any, scales: dict[str, float]) -> ahsar.Homeostat:
    homeostat = ahsar.attach(net)
    homeostat.hold(scales)
    return homeostat


@needs_nir
@quiet
def test_a_graph_carries_the_baked_thresholds() -> None:
    for net, options in ((spikingjelly_net(), {}), (snntorch_net(), {"ignore_dims": [0]})):
        before = thresholds(to_nir(net, sequence()[0], **options))
        regulated(net, {"1": 0.5, "3": 1.5}).bake()
        after = thresholds(to_nir(net, sequence()[0], **options))
        assert before.keys() == after.keys() and len(after) == 2
        assert [after[name] / before[name] for name in sorted(after)] == pytest.approx([0.5, 1.5])


def thresholds(graph: Any) -> dict[str, float]:
    """Of every spiking node: equal for all its neurons here."""
    return {name: float(node.v_threshold.reshape(-1)[0]) for name, node in graph.nodes.items() if hasattr(node, "v_threshold")}


@needs_nir
@quiet
def test_the_same_spikes_in_a_second_framework() -> None:
    """SpikingJelly → NIR → Norse, with the scaled thresholds.

    Both integrate v += dt/tau (x − v) and reset to 0; Norse needs the dt that the exporter wrote (1e-4). Norse spikes at
    v > θ and SpikingJelly at v ≥ θ, which random real inputs do not tell apart. NIR's IF of SpikingJelly has r = 1/dt,
    which Norse's importer leaves out (its IAF adds the input as it is): the same sum.
    """
    norse = pytest.importorskip("norse.torch")
    net, x = spikingjelly_net(), sequence()
    plain = run(net, x)
    regulated(net, {"1": 0.6, "3": 0.7}).bake()
    wanted = run(net, x)
    assert wanted.sum() > 1.1 * plain.sum() > 0  # the scales matter
    other = norse.from_nir(to_nir(net, x[0]), ignore_warnings=True, dt=1e-4)
    state, got = None, []
    with torch.no_grad():
        for step in x:
            spikes, state = other(step, state)
            got.append(spikes)
    torch.testing.assert_close(torch.stack(got), wanted, rtol=0, atol=0)


def test_exporting_while_attached_is_refused() -> None:
    net = spikingjelly_net()
    homeostat = ahsar.attach(net)
    for call in (lambda: to_nir(net, sequence()[0]), lambda: check_rounding(net, [sequence()[0]], 0.1)):
        with pytest.raises(ExportError, match=r"bake\(\)"):
            call()
    homeostat.detach()
    with pytest.raises(ExportError, match="one framework"):
        to_nir(nn.Linear(2, 2), torch.rand(1, 2))


def test_an_exporter_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nir", "nirtorch", "spikingjelly.activation_based.nir_exchange"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExportError, match="pip install nir nirtorch"):
        to_nir(spikingjelly_net(), sequence()[0])


def test_rounding_that_moves_a_rate_warns() -> None:
    net, x = spikingjelly_net(), sequence()
    before = run(net, x)

    def forward(batch: Tensor) -> None:
        run(net, batch)

    with pytest.warns(UserWarning, match="layer '3': with rounded thresholds its rate goes from"):
        moved = check_rounding(net, [x], {"3": 0.7}, forward)
    assert moved["1"] == 0.0 and moved["3"] > 0.05  # 1 becomes 0.7, the nearest multiple
    fine = check_rounding(net, [x], 1 / 127, forward)  # a whole number of units: exact
    assert fine == {"1": 0.0, "3": 0.0}
    assert torch.equal(run(net, x), before) and net[1].v_threshold == 1.0 and net.training
    with pytest.raises(ExportError, match="must be > 0"):
        check_rounding(net, [x], 0.0, forward)


# ---------------------------------------------------------------- ahsar bake


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ahsar", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def test_bake_of_a_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tiny.write(tmp_path, steps=10)
    assert call(capsys, monkeypatch, "run", str(file), "--out", str(tmp_path))[0] == 0
    record = json.loads((tmp_path / "ahsar-s0.jsonl").read_text())
    status, _, err = call(capsys, monkeypatch, "bake", str(tmp_path / "ahsar-s0.pt"))
    assert status == 0, err
    baked = torch.load(tmp_path / "ahsar-s0.baked.pt", weights_only=True)
    scales = record["curve"][-1]["scales"]
    assert baked["thresholds"] == pytest.approx(scales, rel=1e-6)  # thresholds of 1
    for name, scale in scales.items():
        assert scale != 1 and baked["model"][f"{name}.threshold"].item() == pytest.approx(scale, rel=1e-6)


NETS = """
from torch import nn
from spikingjelly.activation_based import neuron
def net(): return nn.Sequential(nn.Linear(6, 20), neuron.LIFNode(), nn.Linear(20, 4), neuron.IFNode())
def other(): return nn.Sequential(nn.Linear(6, 20), neuron.LIFNode(), nn.Linear(20, 5), neuron.IFNode())
"""


@pytest.mark.parametrize("with_nir", [False, pytest.param(True, marks=[needs_nir, quiet])])
def test_bake_of_a_checkpoint_of_ones_own(
    with_nir: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_baked_nets.py").write_text(NETS)
    net = spikingjelly_net()
    homeostat = regulated(net, {"1": 0.5, "3": 2.0})
    torch.save({"model": net.state_dict(), "homeostat": homeostat.state_dict()}, "mine.pt")
    extra = ["--nir", "mine.nir", "--input", "5,6"] if with_nir else []
    words = ["bake", "mine.pt", "--model", "my_baked_nets:net", "--out", "baked.pt", *extra]
    status, _, err = call(capsys, monkeypatch, *words)
    assert status == 0, err
    assert torch.load("baked.pt", weights_only=True)["thresholds"] == {"1": 0.5, "3": 2.0}
    if with_nir:
        import nir

        assert sorted(thresholds(nir.read("mine.nir")).values()) == [0.5, 2.0]


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ({"model": {}}, ["--model", "my_baked_nets:net"], 'no "homeostat"'),
        ({"weights": {}}, ["--model", "my_baked_nets:net"], 'no "model"'),
        (None, [], "does not name its model"),
        (None, ["--model", "my_baked_nets:other"], "another model"),
        (None, ["--model", "my_baked_nets:net", "--nir", "x.nir", "--input", "five"], "shape of an input"),
        (b"no checkpoint", ["--model", "my_baked_nets:net"], "expected a checkpoint of `ahsar run --out`"),
        (b'{"trial": "ahsar-s0"}\n', [], "expected a checkpoint of `ahsar run --out`"),
        (b"PK\x03\x04 but no archive", [], "expected a checkpoint of `ahsar run --out`"),
        (torch.zeros(2), [], 'no "model"'),
        (nn.Linear(2, 2), [], "expected a checkpoint of `ahsar run --out`"),  # a whole model, of which code would be run
        ({"model": {"a": 1}, "homeostat": {"layers": ["1"]}}, ["--model", "my_baked_nets:net"], "another model"),
        ({"model": {}, "homeostat": {"layers": {}}, "about": {"workload": {}}}, [], "not what `ahsar run` writes"),
    ],
)
def test_what_cannot_be_baked(
    content: Any,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_baked_nets.py").write_text(NETS)
    sys.modules.pop("my_baked_nets", None)
    if isinstance(content, bytes):
        Path("mine.pt").write_bytes(content)
    else:
        net = spikingjelly_net()
        whole = {"model": net.state_dict(), "homeostat": ahsar.attach(net).state_dict()}
        torch.save(whole if content is None else content, "mine.pt")
    status, _, err = call(capsys, monkeypatch, "bake", "mine.pt", *words)
    assert status == 2 and message in err and len(err.splitlines()) == 1
    assert len(err) < 500 and "weights_only" not in err
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"mine.pt", "my_baked_nets.py"}  # nothing was written
