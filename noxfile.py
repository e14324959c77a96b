"""Tests in environments of their own: `make test-frameworks`, `-versions` and `-package`, or `nox -s NAME`.

`make test` holds the frameworks that agree in one environment. These sessions hold each framework alone, with what it asks for
itself (their pins of NIR contradict each other, and BrainCog and BindsNET bring old or very new dependencies), and the core
with the contract on other versions of Python and PyTorch. Environments stay in .nox and are used again.
"""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = []  # name one: each installs a PyTorch of its own

TESTS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "packaging")
NAMES = ("functional", "homeostat", "attach", "training", "spikingjelly_classic")
CORE = ("tests/adapters", *(f"tests/test_{name}.py" for name in NAMES))
TESTED = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
BASE = ("spikingjelly==2.0.0", "snntorch==1.0.0", "numpy")  # what the tests themselves lean on
ROOT = Path(__file__).parent
RESULTS = ROOT / "docs" / "results" / "versions"

SHOWN = {"torch", "spikingjelly", "snntorch", "norse", "sinabs", "rockpool", "tracetorch", "braincog", "bindsnet", "nir"}

# framework: what its session installs, and what of it without its own requirements
FRAMEWORKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "norse": (("norse==1.1.0",), ()),
    # as it asks, with nir <= 1.0.4; without samna, which only its chips need and which fetches itself from elsewhere
    "sinabs": (("nir==1.0.4", "nirtorch<2.0.5", "pbr", "matplotlib"), ("sinabs==3.1.3",)),
    "rockpool": (("rockpool==3.1.0",), ()),
    "tracetorch": (("tracetorch==0.19.2",), ()),
    "braincog": (("braincog==0.2.7.19",), ()),
}


def _run(session: nox.Session, name: str, tests: tuple[str, ...] = CORE) -> None:
    """The core and the contract; what passed is kept in docs/results/versions, and docs/versions.md is written anew."""
    report = ROOT / ".nox" / f"{name}.xml"
    command = ("pytest", "-n", "2", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", *tests, *session.posargs)
    session.run(*command, success_codes=[0, 1])
    suite = ElementTree.parse(report).getroot()[0].attrib
    listed = session.run("python", "-m", "pip", "list", "--format=json", silent=True)
    installed = {item["name"].lower(): item["version"] for item in json.loads(str(listed))}
    row = {key: int(suite[key]) for key in ("tests", "failures", "errors", "skipped")}
    python = str(session.run("python", "-c", "import platform; print(platform.python_version())", silent=True)).strip()
    versions = {"python": python, **{key: installed[key] for key in sorted(SHOWN & installed.keys())}}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({**row, "versions": versions}, indent=1) + "\n", encoding="utf-8")
    (ROOT / "docs" / "versions.md").write_text(table(), encoding="utf-8")
    if row["failures"] or row["errors"]:
        session.error(f"{row['failures'] + row['errors']} of {row['tests']} tests failed")


def table() -> str:
    """docs/versions.md."""
    lines = [
        "# Versions\n",
        "Core and contract in environments of their own, as `make test-frameworks` and `make test-versions` ran them last;",
        "written by `noxfile.py`. Skipped are the tests that need a GPU, and those of frameworks that the environment lacks.",
        "SpikingJelly 0.0.0.0.14 has few of today's classes: with it, the core and `tests/test_spikingjelly_classic.py` ran.\n",
        "| Python | PyTorch | frameworks | passed | failed | skipped |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for file in sorted(RESULTS.glob("*.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        versions, failed = row["versions"], row["failures"] + row["errors"]
        names = ", ".join(f"{name} {version}" for name, version in versions.items() if name not in ("python", "torch"))
        passed = row["tests"] - failed - row["skipped"]
        lines.append(f"| {versions['python']} | {versions['torch']} | {names} | {passed} | {failed} | {row['skipped']} |")
    return "\n".join(lines) + "\n"


@nox.session
@nox.parametrize("name", list(FRAMEWORKS))
def framework(session: nox.Session, name: str) -> None:
    """One framework with all that it asks for, beside those that the tests lean on."""
    requirements, alone = FRAMEWORKS[name]
    session.install(*TESTED, *BASE, *requirements, *TESTS)
    if alone:
        session.install("--no-deps", *alone)
    session.install("--no-deps", "-e", ".")
    _run(session, f"framework-{name}")


@nox.session
def bindsnet(session: nox.Session) -> None:
    """BindsNET asks for a newer PyTorch than the tested set."""
    session.install("torch>=2.14,<2.15", "torchvision>=0.29,<0.30", *BASE, "bindsnet==0.3.4", *TESTS)
    session.install("--no-deps", "-e", ".")
    _run(session, "framework-bindsnet")


@nox.session
def package(session: nox.Session) -> None:
    """What would be uploaded: built from what git has, and accepted by the tools that judge packages."""
    session.install("build==1.6.1", "twine==7.0.0", "check-wheel-contents==0.6.3", "pyroma==5.0.1")
    made = Path(session.create_tmp())
    for old in made.iterdir():
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(made), str(ROOT))
    session.run("twine", "check", "--strict", *map(str, made.iterdir()))
    session.run("check-wheel-contents", *map(str, made.glob("*.whl")))
    # it asks for an e-mail address, which this project does not give
    session.run("pyroma", "--min", "10", "--skip-tests", "AuthorEmail", *map(str, made.glob("*.tar.gz")))


PYTHONS = [python for python in ("3.11", "3.12", "3.13") if shutil.which(f"python{python}")]
TORCHES = {"2.6.0": ("torch==2.6.0", "torchvision==0.21.0"), "2.11.0": TESTED, "newest": ("torch", "torchvision")}
JELLIES = {"0.0.0.0.14": "spikingjelly==0.0.0.0.14", "2.0.0": "spikingjelly==2.0.0"}


@nox.session
@nox.parametrize("spikingjelly", list(JELLIES))
@nox.parametrize("torch", list(TORCHES))
@nox.parametrize("python", PYTHONS)
def versions(session: nox.Session, torch: str, spikingjelly: str) -> None:
    """The core and the contract on another PyTorch, Python and SpikingJelly."""
    session.install(*TORCHES[torch], "snntorch==1.0.0", "numpy", *TESTS)
    session.install(JELLIES[spikingjelly])
    session.install("--no-deps", "-e", ".")
    # the old SpikingJelly compiles its neurons with torch.jit.script, which newer versions of PyTorch call deprecated
    classic = (*(name for name in CORE if name != "tests/adapters"), "-W", "ignore:`torch.jit.script` is deprecated")
    tests = CORE if spikingjelly == "2.0.0" else classic
    _run(session, f"python-{session.python}-torch-{torch}-spikingjelly-{spikingjelly}", tests)
