"""The command line: what it prints, and one clear line with exit status 2 for every mistake."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from ahsar import cli
from ahsar.adapters import unregister
from tests.lab import tiny


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `ahsar WORDS`."""
    monkeypatch.setattr(sys, "argv", ["ahsar", *words])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nonsense"], "unknown workload 'nonsense': choose from"),
        (["compare", "digits", "--arms", "baseline,magic"], "unknown arm 'magic': choose from"),
        (["compare", "digits", "--cluster", "cloud"], "choose local or slurm"),
        (["compare", "fashion", "--data", "/no/such/folder"], "/no/such/folder: no such file or folder"),
        (["run", "digits", "--arm", "constant"], "stands for"),
        (["report", "/no/such/folder"], "no such folder"),
        (["robustness", "/no/such/folder"], "holds no results of ahsar"),
        (["inspect", "no.such.module:net"], "ModuleNotFoundError"),
        (["inspect", "torch"], "write package.module:factory"),
        (["inspect", "torch:tensor"], "TypeError"),
        (["inspect", "torch.nn:Identity"], "no spiking layer"),
    ],
)
def test_mistakes(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = call(capsys, monkeypatch, *words)
    assert status == 2
    assert message in err and err.startswith("error: ") and len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())  # nothing was written


def test_corrupt_data_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.parquet").write_bytes(b"no parquet at all")
    status, _, err = call(
        capsys, monkeypatch, "compare", "fashion", "--quick", "--data", str(tmp_path), "--out", str(tmp_path / "out")
    )
    assert status == 2 and "parquet" in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_out_of_another_workload(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "workload.json").write_text(json.dumps({"name": "fashion", "hash": "abc"}))
    status, _, err = call(capsys, monkeypatch, "compare", "digits", "--out", str(tmp_path / "out"))
    assert status == 2 and "holds results of workload 'fashion' (hash abc)" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["workload.json"]


def test_workloads(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = call(capsys, monkeypatch, "workloads")
    assert status == 0
    for name in ("digits", "fashion", "fashion-deep", "fashion-deep-plain", "cifar10-vgg", "dvs-objects"):
        assert name in out


def test_inspect_lists_layers_and_what_is_skipped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_inspected_nets.py").write_text(
        "from torch import nn\nfrom spikingjelly.activation_based import neuron\n"
        "def net():\n    return nn.Sequential(nn.Linear(4, 3), neuron.LIFNode(v_threshold=0.7), neuron.PSN(T=2))\n"
        "def listed():\n    found = net()\n    found.more = [neuron.IFNode()]\n    return found\n"
    )
    monkeypatch.chdir(tmp_path)
    out = " ".join(call(capsys, monkeypatch, "inspect", "my_inspected_nets:listed")[1].split())
    assert "1 spiking layers to regulate, 2 skipped" in out and "more[0]" in out and "nn.ModuleList" in out
    status, out, _ = call(capsys, monkeypatch, "inspect", "my_inspected_nets:net")
    assert status == 0
    assert "1 spiking layers to regulate, 1 skipped" in out
    assert "LIFNode" in out and "0.7" in out and "PSN" in out and "no threshold" in out


def test_inspect_shows_output_shapes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_shaped_nets.py").write_text(
        "from torch import nn\nfrom spikingjelly.activation_based import neuron\n"
        "net = nn.Sequential(nn.Linear(4, 3), neuron.LIFNode())\n"
    )
    monkeypatch.chdir(tmp_path)
    out = " ".join(call(capsys, monkeypatch, "inspect", "my_shaped_nets:net", "--input", "5,4")[1].split())
    assert "(5, 3)" in out and "0 spiking layers to regulate, 1 skipped" in out
    status, _, err = call(capsys, monkeypatch, "inspect", "my_shaped_nets:net", "--input", "5,9")
    assert status == 2 and "--input 5,9" in err and len(err.splitlines()) == 1


def test_run_then_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tiny.write(tmp_path, steps=10)
    status, out, _ = call(capsys, monkeypatch, "run", str(file), "--seed", "1", "--out", str(tmp_path / "one"), "--tensorboard")
    assert status == 0 and "step     10" in out
    record = json.loads((tmp_path / "one" / "ahsar-s1.jsonl").read_text())
    assert record["status"] == "done" and list((tmp_path / "one" / "tensorboard").rglob("events*"))
    again = ["run", str(file), "--seed", "2", "--out", str(tmp_path / "one"), "--precision", "bf16-mixed"]
    status, _, err = call(capsys, monkeypatch, *again)  # would be one table with the trial above
    assert (
        status == 2 and "trials with precision 32-true (ahsar-s1), and these would have bf16-mixed: give another --out" in err
    )
    status, out, _ = call(capsys, monkeypatch, "report", str(tmp_path / "one"))
    assert status == 0 and (tmp_path / "one" / "report.html").exists()


def test_inspect_finds_the_example_of_the_readme(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    try:
        status, out, _ = call(capsys, monkeypatch, "inspect", "examples.own_neuron:Net")
    finally:
        unregister(importlib.import_module("examples.own_neuron").MyLIF)
    assert status == 0 and "2 spiking layers to regulate" in out and "MyLIF" in out


def test_report_of_several_folders(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = []
    for name in ("one", "two"):
        file = tiny.write(tmp_path, steps=10, name=name)
        for arm in ("baseline", "ahsar"):
            call(capsys, monkeypatch, "run", str(file), "--arm", arm, "--out", str(tmp_path / name))
        folders.append(str(tmp_path / name))
    status, _, err = call(capsys, monkeypatch, "report", *folders, "--out", str(tmp_path / "both"))
    assert status == 0, err
    combined = json.loads((tmp_path / "both" / "combined.json").read_text())
    assert set(combined["cells"]) == {"one", "two"} and (tmp_path / "both" / "combined.html").exists()
