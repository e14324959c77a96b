"""The package as a user gets it: the wheel, what an import brings, one version, one set of pins."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> str:
    """Standard output of a command; its whole output is the assertion's message when it fails."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@cache
def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def sources() -> set[str]:
    """Every file of the package, relative to src."""
    found = (path for path in (ROOT / "src" / "ahsar").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT / "src").as_posix() for path in found}


# -- the wheel ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network, by way of the source distribution as a release is."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    (source,) = out.glob("ahsar-*.tar.gz")
    assert source.stat().st_size < 2**20
    (built,) = out.glob("ahsar-*.whl")
    return built


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"ahsar-{project()['version']}.dist-info/"
    assert {name for name in names if not name.startswith(info)} == sources()
    assert f"{info}licenses/LICENSE" in names
    assert {"ahsar/py.typed", "ahsar/lab/report/template.html", "ahsar/lab/spec/workloads/digits.toml"} <= names


def test_an_index_shows_a_readme_whose_links_lead_somewhere(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (file,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    headers, _, shown = archive.read(file).decode("utf-8").partition("\n\n")
    assert "Description-Content-Type: text/markdown" in headers.splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"\]\((?!https?:)", readme) and not re.search(r"\]\((?!https?:)", shown)
    assert set(re.findall(r"\]\((https?:[^)]+)\)", readme)) == set(re.findall(r"\]\((https?:[^)]+)\)", shown))
    # all else is the README's, its table and its code among it
    assert re.sub(r"\(Picture, in the repository: ([^\]]*)\.\)", r"\1", unlinked(shown)).strip() == unlinked(readme).strip()


def unlinked(text: str) -> str:
    """Markdown with the words of its links and pictures alone."""
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)


def brought(*packages: str) -> dict[str, Path]:
    """Top-level files and folders of packages and all that they require, by name: what `pip install` would bring."""
    found: dict[str, Path] = {}
    todo, seen = list(packages), set[str]()
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or []:
            if file.parts[0] not in ("..", "__pycache__"):
                found[file.parts[0]] = Path(str(distribution.locate_file(file.parts[0])))
        for text in distribution.requires or []:
            requirement = Requirement(text)
            # An extra that torch asks for (cuda-toolkit[...]) counts; one that nobody asked for does not.
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras(name)):
                todo.append(requirement.name)
    return found


def extras(name: str) -> list[str]:
    """The extras that torch's requirements ask of a distribution, and none at all as ""."""
    requirements = map(Requirement, importlib.metadata.requires("torch") or [])
    return ["", *(extra for r in requirements if canonicalize_name(r.name) == name for extra in r.extras)]


@pytest.fixture(scope="module")
def empty_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment that holds torch with its requirements, linked from here, and the wheel."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name, path in brought("torch").items():
        (site / name).symlink_to(path)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    return python


def test_wheel_installs_and_imports_with_torch_alone(empty_python: Path, tmp_path: Path) -> None:
    code = "import ahsar, importlib.util as u; print(ahsar.__version__, ahsar.__file__, u.find_spec('numpy'))"
    version, file, numpy = run(empty_python, "-I", "-c", code, cwd=tmp_path).split()
    assert (version, numpy) == (project()["version"], "None")
    assert Path(file).is_relative_to(empty_python.parents[1])


def test_attach_works_with_torch_alone(empty_python: Path, tmp_path: Path) -> None:
    code = """
import torch, ahsar
class Spike(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.level = 0.5
    def forward(self, x): return (x > self.level).float()
ahsar.register_adapter(Spike, threshold="level")
model = torch.nn.Sequential(torch.nn.Linear(4, 8), Spike())
homeostat = ahsar.attach(model)
model(torch.randn(16, 4))
homeostat.step()
print(len(homeostat.scales))
"""
    assert run(empty_python, "-I", "-c", code, cwd=tmp_path).strip() == "1"


def test_command_line_without_the_lab_says_what_to_install(empty_python: Path, tmp_path: Path) -> None:
    command = [str(empty_python.parent / "ahsar"), "workloads"]
    # torch itself warns where NumPy is missing.
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONWARNINGS": "ignore"}, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and "ahsar[lab]" in done.stderr


def test_inspect_and_doctor_need_typer_and_rich_alone(empty_python: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    wanted = [Requirement(text).name for text in project()["optional-dependencies"]["cli"]]
    for name, path in brought(*wanted).items():
        (extra / name).symlink_to(path)
    (tmp_path / "patient.py").write_text(
        "import torch, ahsar\n"
        "class Spike(torch.nn.Module):\n"
        "    level = 0.5\n"
        "    def forward(self, x): return (x > self.level).float()\n"
        "ahsar.register_adapter(Spike, threshold='level')\n"
        "def net(): return torch.nn.Sequential(torch.nn.Linear(4, 8), Spike(), torch.nn.Linear(8, 2))\n"
    )
    env = {"PYTHONPATH": str(extra), "PYTHONWARNINGS": "ignore"}
    for command in ("inspect", "doctor"):
        assert "Spike" in run(empty_python, "-m", "ahsar", command, "patient:net", cwd=tmp_path, **env)


# -- what an import costs ----------------------------------------------------------------------------------------------


def test_import_brings_neither_frameworks_nor_the_lab() -> None:
    groups = project()["optional-dependencies"].values()
    names = {canonicalize_name(Requirement(text).name) for group in groups for text in group} - {"ahsar"}
    modules = importlib.metadata.packages_distributions()
    optional = {module for module, owners in modules.items() if names & {canonicalize_name(o) for o in owners}}
    assert {"spikingjelly", "snntorch", "typer", "datasets", "sklearn", "lightning_fabric"} <= optional
    code = "import sys, torch; before = set(sys.modules); from ahsar import *; print(*(set(sys.modules) - before))"
    loaded = run(sys.executable, "-c", code).split()
    assert {name for name in loaded if name.partition(".")[0] in optional or name.startswith("ahsar.lab")} == set()


# -- one version, one set of pins --------------------------------------------------------------------------------------


def test_version_is_the_same_everywhere() -> None:
    import ahsar

    version = project()["version"]
    assert ahsar.__version__ == importlib.metadata.version("ahsar") == version
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(version)}$", citation, re.MULTILINE)
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_requirement_inside_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for requirement in (Requirement(line) for line in lines if not line.startswith("#")):
        (exact,) = requirement.specifier
        assert exact.operator == "==", requirement
        pins[canonicalize_name(requirement.name)] = exact.version
    for group in (project()["dependencies"], *project()["optional-dependencies"].values()):
        for requirement in map(Requirement, group):
            name = canonicalize_name(requirement.name)
            assert name == "ahsar" or pins[name] in requirement.specifier, requirement


# -- names that come when they are asked for ---------------------------------------------------------------------------


def test_importing_waits_for_no_pytorch_and_names_come_when_asked_for() -> None:
    code = (
        "import sys, ahsar; before = 'torch' in sys.modules; "
        "public = [getattr(ahsar, name) for name in ahsar.__all__]; star = {}; exec('from ahsar import *', star); "
        "assert all(star[name] is one for name, one in zip(ahsar.__all__, public)); "
        "assert callable(ahsar.attach) and ahsar.functional.rate and set(ahsar.__all__) <= set(dir(ahsar)); "
        "print(before, 'torch' in sys.modules)"
    )
    assert run(sys.executable, "-c", code).split() == ["False", "True"]


def test_a_name_that_there_is_not_is_told_at_once() -> None:
    import ahsar

    with pytest.raises(AttributeError, match="module 'ahsar' has no attribute 'atach'"):
        ahsar.atach  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(ahsar, "_repr_html_")


@pytest.mark.parametrize("first", ["ahsar.attaching", "ahsar.discovery", "ahsar.homeostat", "ahsar.export"])
def test_a_function_is_never_hidden_by_a_module(first: str) -> None:
    code = f"import {first}, ahsar; print(type(ahsar.attach).__name__, type(ahsar.discover).__name__, ahsar.Homeostat.__name__)"
    assert run(sys.executable, "-c", code).split() == ["function", "function", "Homeostat"]


# -- the Makefile ------------------------------------------------------------------------------------------------------


def test_whatever_make_installs_of_the_project_is_the_checkout_itself() -> None:
    """A copy in its place would leave later tests with the source of that hour."""
    lines = re.findall(r"^.*\$\(INSTALL\).*$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    of_project = [line for line in lines if re.search(r"[\s\"']\.(\[|[\s\"']|$)", line)]
    assert of_project and all("--editable" in line for line in of_project)
