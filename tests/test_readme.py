"""What the README and the documents show exists: commands, options, extras, links and code."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import torch

from ahsar.lab.spec import population, workload
from ahsar.lab.study import cells

ROOT = Path(__file__).resolve().parents[1]


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@cache
def blocks(language: str) -> list[str]:
    """The fenced blocks of one language in all documents."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in DOCUMENTS)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The command lines of all bash blocks, as words; comments and continued lines resolved."""
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@cache
def usage(*words: str) -> str:
    """Help of an `ahsar` command."""
    script = Path(sys.executable).with_name("ahsar")
    env = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([script, *words, "--help"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"ahsar {shlex.join(words)} --help:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check(words: list[str]) -> None:
    """Fails unless a command exists and takes the options shown; also for a program that it cannot judge."""
    program, *arguments = words
    name = Path(program).name
    if name == "ahsar":
        subcommand, *rest = arguments
        known = re.findall(r"-[-\w]+", usage(subcommand))
        missing = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]
        assert not missing, f"{shlex.join(words)}: `ahsar {subcommand} --help` does not know {missing}"
        if subcommand in ("compare", "tune") or (subcommand in ("robustness", "report") and "/" not in rest[0]):
            assert Path(rest[0]).suffix == ".toml" or rest[0] in (*workload.names(), *cells.names()), shlex.join(words)
            if "--cells" in rest:
                cells.load(rest[0], "--quick" in rest).choose(rest[rest.index("--cells") + 1])
        if subcommand == "population":
            population.load(rest[0])
        if subcommand == "run":
            assert rest[0] in workload.names() or Path(rest[0]).suffix == ".toml", shlex.join(words)
        assert subcommand != "matrix", shlex.join(words)
    elif name == "make":
        targets = [word for word in arguments if "=" not in word]
        rules = re.findall(r"^([\w -]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(targets) <= set(" ".join(rules).split()), shlex.join(words)
    elif name == "pip":
        extras = re.search(r"(?:ahsar|\.)\[([\w,]+)\]", shlex.join(arguments))
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert extras is None or set(extras[1].split(",")) <= set(project["optional-dependencies"]), shlex.join(words)
    elif name == "python" and arguments[0].startswith("examples/"):
        assert (ROOT / arguments[0]).is_file(), shlex.join(words)  # tests/test_examples.py runs them all
    elif name == "torchrun":
        if "-m" in arguments:
            check(arguments[arguments.index("-m") + 1 :])
        else:
            script = next((word for word in arguments if word.endswith(".py")), "no script")
            assert (ROOT / script).is_file(), shlex.join(words)
    elif name == "python" and arguments[0] == "-m":
        assert (ROOT / f"{arguments[1].replace('.', '/')}.py").is_file(), shlex.join(words)
    else:
        assert name in ("git", "cd"), f"{shlex.join(words)}: no check for {name}"


def test_readme_commands_exist() -> None:
    found = commands()
    assert ["make", "demo"] in found and ["make", "test"] in found
    for words in found:
        check(words)


def test_readme_uses_only_checked_languages() -> None:
    for file in DOCUMENTS:
        fences = re.findall(r"^```(\w*)$", file.read_text(encoding="utf-8"), re.MULTILINE)[::2]
        assert set(fences) <= {"bash", "python", "text", "bibtex"}, file


NUMBER = re.compile(r"\d+\.\d+")


@pytest.mark.usefixtures("own_neurons")
def test_the_first_example_runs_and_prints_what_stands_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Rates may differ in their last digits from processor to processor."""
    pytest.importorskip("snntorch")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL).groups()  # type: ignore[union-attr]
    assert len(code.splitlines()) <= 18
    with torch.random.fork_rng():
        exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert NUMBER.sub("", printed) == NUMBER.sub("", shown)
    found, wanted = (list(map(float, NUMBER.findall(each))) for each in (printed, shown))
    assert found == pytest.approx(wanted, abs=0.03)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_links_lead_somewhere() -> None:
    for file in DOCUMENTS:
        text = file.read_text(encoding="utf-8")
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if ":" not in link]
        assert [link for link in links if link and not (file.parent / link).exists()] == [], file
