"""The command line: what it prints, and one clear line with exit status 2 for every mistake."""

import importlib
import json
import subprocess
import sys
import types
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


TAKES_NONE = "nothing would be read from there for digits; leave --data out"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nonsense"], "unknown workload 'nonsense': choose from"),
        (["compare", "digits", "--arms", "baseline,magic"], "unknown arm 'magic': choose from"),
        (["compare", "digits", "--cluster", "cloud"], "choose local or slurm"),
        (["compare", "digits", "--arms", ""], "unknown arm ''"),
        (["population", "users", "--n", "1", "--arms", ""], "unknown arm ''"),
        (["compare", "digits", "--accelerator", "banana"], "choose auto, cpu, cuda, gpu or mps"),
        (["population", "users", "--accelerator", "banana"], "choose auto, cpu, cuda, gpu or mps"),
        (["run", "digits", "--precision", "8"], "choose 32-true, bf16-mixed or 16-mixed"),
        (["compare", "digits", "--out", "/proc/x"], "/proc/x"),
        (["run", "digits", "--quick", "--accelerator", "mps"], "finds no such device here"),
        (["compare", "fashion", "--data", "/no/such/folder"], "/no/such/folder: no such file or folder"),
        (["tune", "fashion", "--data", "/no/such/folder"], "/no/such/folder: no such file or folder"),
        (["compare", "digits", "--data", "/no/such/folder"], TAKES_NONE),
        (["tune", "digits", "--data", "/proc"], TAKES_NONE),
        (["run", "digits", "--data", "/proc"], TAKES_NONE),
        (["compare", "headline", "--quick", "--cells", "digits-conv3-plain-decolle", "--data", "/proc"], TAKES_NONE),
        (["tune", "headline", "--quick", "--cells", "digits-conv3-plain-decolle", "--data", "/proc"], TAKES_NONE),
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
    (tmp_path / "out" / "workload.json").write_text(json.dumps({"name": "fashion", "hash": "abc", "workload": {}}))
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


def test_version_and_short_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import ahsar

    for word in ("--version", "-V"):
        assert call(capsys, monkeypatch, word)[:2] == (0, f"ahsar {ahsar.__version__}\n")
    for words in ([], ["compare"], ["inspect"]):
        assert call(capsys, monkeypatch, *words, "-h") == call(capsys, monkeypatch, *words, "--help")


def test_help_waits_for_no_pytorch() -> None:
    code = (
        "import sys; from ahsar import cli; sys.argv = ['ahsar', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\nprint(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "doctor" in done.stdout


NET = """
import torch
from torch import nn
import snntorch as snn


class Net(nn.Sequential):
    def __init__(self, width=8, threshold=1.0):
        super().__init__(
            nn.Linear(6, width), snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True),
            nn.Linear(width, width), snn.Leaky(beta=0.9, threshold=threshold, init_hidden=True), nn.Linear(width, 2),
        )

torch.manual_seed(0)
"""


def test_doctor_says_what_ails_each_layer_and_leaves_the_model_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patient.py").write_text(NET)
    status, out, err = call(capsys, monkeypatch, "doctor", "patient:Net(width=16, threshold=4.0)", "--json")
    assert status == 0, err
    found = json.loads(out)
    first, second = found["layers"]
    assert (first["name"], first["threshold"], first["scale"]) == ("1", "0.3", 1.0) and first["state"] == "in band"
    assert (second["threshold"], second["state"], second["advice"]) == ("4", "silent", "")
    assert second["scale"] < 1 and 0.06 < second["attached_rate"] < 0.3
    assert "Of 2 layers 1 silent" in found["verdict"] and "shape (32, 6)" in found["input"]
    status, out, _ = call(capsys, monkeypatch, "doctor", "patient:Net(threshold=1e6)")
    assert status == 0 and "left alone: '3'" in out
    assert importlib.import_module("patient").Net(3)[1].threshold == pytest.approx(0.3)
    sys.modules.pop("patient")


def test_doctor_takes_an_input_and_without_a_model_says_versions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    (tmp_path / "patient2.py").write_text(NET)
    torch.save(torch.zeros(5, 6), "x.pt")
    words = ["doctor", "patient2:Net", "--data", "x.pt", "--json"]
    assert json.loads(call(capsys, monkeypatch, *words)[1])["input"] == "x.pt, shape (5, 6)"
    for wrong, message in (
        (["--input", "2,7"], "--input 2,7: shape (2, 7): RuntimeError"),
        (["--input", "a"], "write sizes with commas"),
        (["--data", "no.pt"], "no.pt: No such file or directory; expected a tensor"),
        (
            ["--data", "patient2.py"],
            "patient2.py: not a file of tensors and plain values that torch.save wrote; expected a tensor",
        ),
    ):
        status, _, err = call(capsys, monkeypatch, "doctor", "patient2:Net", *wrong)
        assert status == 2 and message in err and len(err.splitlines()) == 1
    status, _, err = call(capsys, monkeypatch, "doctor", "patient2:Net(width=open)")
    assert status == 2 and "plain values" in err
    versions = json.loads(call(capsys, monkeypatch, "doctor", "--json")[1])
    assert set(versions) == {"versions"} and versions["versions"]["torch"] == torch.__version__


def interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_is_one_line_and_130_in_a_command_and_while_it_is_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahsar.cli.workloads.workloads_table", interrupt)
    assert call(capsys, monkeypatch, "workloads") == (130, "", "interrupted\n")
    stopped = types.ModuleType("ahsar.cli.app")
    stopped.__getattr__ = interrupt  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "ahsar.cli.app", stopped)
    assert call(capsys, monkeypatch, "workloads") == (130, "", "interrupted\n")


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    listed = json.loads(call(capsys, monkeypatch, "workloads", "--json")[1])
    assert listed["workloads"]["digits"]["quick"]["steps"] > 0 and "users" in listed["populations"]
    assert set(listed["matrices"]) == {"development", "headline", "long"}
    file, out = str(tiny.write(tmp_path, steps=10)), str(tmp_path / "out")
    words = ["compare", file, "--arms", "baseline,ahsar", "--seeds", "1", "--jobs", "1", "--out", out, "--json"]
    status, shown, err = call(capsys, monkeypatch, *words)
    assert status == 0 and "report:" in err, err
    assert json.loads(shown) == json.loads((tmp_path / "out" / "summary.json").read_text())
    status, again, _ = call(capsys, monkeypatch, "report", out, "--json")
    assert status == 0 and json.loads(again)["arms"] == json.loads(shown)["arms"]
    status, tuned, _ = call(capsys, monkeypatch, "tune", file, "--seeds", "1", "--lr", "1e-3,2e-3", "--json")
    assert status == 0 and json.loads(tuned)["lr"] in (1e-3, 2e-3)
