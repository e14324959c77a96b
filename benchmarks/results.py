"""Keep results and show them: copy a finished study to docs/results, and fill the tables of the documents from there.

python -m benchmarks.results keep runs/digits        # docs/results/digits
python -m benchmarks.results draw                    # pages and pictures of all that is kept, anew from its trials
python -m benchmarks.results fill                    # README.md and docs/results.md, between their <!-- ... --> marks
"""

import argparse
import gzip
import json
import re
import shutil
from pathlib import Path

from ahsar.lab.report.comparison.figures import draw as draw_comparison
from ahsar.lab.report.comparison.summary import markdown
from ahsar.lab.report.comparison.words import findings, headline
from ahsar.lab.report.matrix import page as matrix_page
from ahsar.lab.report.matrix import tables, words
from ahsar.lab.report.population import page as nets
from ahsar.lab.report.population.pictures import scatter
from ahsar.lab.report.text import arm_name, count, markdown_table, mean_gap, speedup, times
from ahsar.lab.results.records import is_rival, read

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
FILLED = (ROOT / "README.md", ROOT / "docs" / "results.md")


def _emptied(folder: Path) -> Path:
    """Where a folder of results is kept, with nothing in it of an older run."""
    target = RESULTS / folder.name
    if not folder.is_dir() or target.resolve() == folder.resolve():
        raise SystemExit(f"{folder}: give the results folder of a run")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    return target


def _pack(folder: Path, target: Path) -> None:
    """The raw trials, compressed; the same bytes each time."""
    raw = (folder / "trials.jsonl").read_bytes()
    (target / "trials.jsonl.gz").write_bytes(gzip.compress(raw, mtime=0))


def keep(folder: Path) -> Path:
    """Copy what a reader needs: the command, the summary, the pictures, and the raw trials, compressed."""
    target = _emptied(folder)
    for name in ("summary.json", "workload.json"):
        shutil.copy(folder / name, target / name)
    for kept in (*folder.glob("*.png"), *folder.glob("*.svg"), *folder.glob("robustness.*")):
        shutil.copy(kept, target / kept.name)
    _pack(folder, target)
    return target


def keep_matrix(folder: Path) -> Path:
    """The same of a matrix: its page, and of every cell the workload, the raw trials and what corruptions did."""
    target = _emptied(folder)
    for cell in json.loads((folder / "matrix-about.json").read_text(encoding="utf-8"))["cells"]:
        if not (folder / cell / "trials.jsonl").exists():
            continue
        (target / cell).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / cell / "workload.json", target / cell / "workload.json")
        if (robust := folder / cell / "robustness.json").exists():  # a third as large without indents
            text = json.dumps(json.loads(robust.read_text(encoding="utf-8")), separators=(",", ":"))
            (target / cell / robust.name).write_text(text + "\n", encoding="utf-8")
        _pack(folder / cell, target / cell)
    for path in folder.glob("matrix*.*"):
        shutil.copy(path, target / path.name)
    return target


def keep_population(folder: Path) -> Path:
    """The same of a population: what it belongs to, its page and pictures, and the raw trials of all draws."""
    target = _emptied(folder)
    for path in folder.glob("population*.*"):
        shutil.copy(path, target / path.name)
    _pack(folder, target)
    _draw_short(target)
    return target


def _draw_short(folder: Path) -> None:
    """The picture of the README: the arms of its table alone."""
    numbers = json.loads((folder / "population.json").read_text(encoding="utf-8"))
    chosen = {arm: numbers["arms"][arm] for arm in chosen_of(numbers)}
    scatter({**numbers, "arms": chosen}, folder / "population-short.png")


def draw(folder: Path) -> None:
    """Write the pages and pictures that are kept of a study anew; its trials and numbers stay as they are."""
    if (folder / "population-about.json").exists():
        nets.write(folder)
        _draw_short(folder)
    elif (folder / "matrix-about.json").exists():
        matrix_page.write(folder)
    elif (folder / "summary.json").exists():
        draw_comparison(read(folder), folder)


def chosen_of(found: dict) -> dict[str, str]:
    """The untouched nets, AHSAR, the best single constant and the best rival of a population, each with its words."""
    arms = found["arms"]
    rivals = [arm for arm in arms if is_rival(arm)]
    best = max(rivals, key=lambda arm: arms[arm]["against_ahsar"]["mean"], default=None)
    names = {"baseline": "untouched", "ahsar": "ahsar", found["best_constant"]: "best single constant", best: "best rival"}
    return {arm: said for arm, said in names.items() if arm is not None}


def population(name: str) -> str:
    """The command, the headline, every arm over the nets, and what belongs beside it."""
    found = json.loads((RESULTS / name / "population.json").read_text(encoding="utf-8"))
    command = json.loads((RESULTS / name / "population-about.json").read_text(encoding="utf-8"))["command"]
    said = "\n".join(f"- {text}" for text in nets.findings(found))
    return f"`{command}`: {nets.headline(found)}\n\n{markdown_table(list(nets.HEADER), nets.arm_rows(found))}\n{said}\n"


def short(name: str) -> str:
    """Four rows of a population: the untouched nets, AHSAR, the best single constant and the best rival."""
    found = json.loads((RESULTS / name / "population.json").read_text(encoding="utf-8"))
    arms = found["arms"]
    lines = [
        [
            said if arm in ("baseline", "ahsar") else f"{said}: {arm_name(arm)}",
            str(arms[arm]["nets"]),
            f"{arms[arm]['test']['mean']:.3f}",
            "" if arm == "baseline" else mean_gap(arms[arm]["against_baseline"]),
            "" if arm == "baseline" else f"{arms[arm]['better']} : {arms[arm]['worse']}",
            f"{arms[arm]['rate']:.2f}",
        ]
        for arm, said in chosen_of(found).items()
    ]
    return markdown_table(["", "nets", "final test", "against untouched", "better : worse", "firing rate"], lines)


def matrix(name: str) -> str:
    """The command, the headline, AHSAR against each opponent, and what belongs beside it."""
    found = json.loads((RESULTS / name / "matrix.json").read_text(encoding="utf-8"))
    command = json.loads((RESULTS / name / "matrix-about.json").read_text(encoding="utf-8"))["command"]
    said = "\n".join(f"- {text}" for text in words.findings(found) if not text.startswith("Against"))  # the table's
    table = markdown_table(list(tables.OVER), tables.opponent_rows(found))
    return f"`{command}`: {words.headline(found)}\n\n{table}\n{said}\n"


def summary_of(name: str) -> dict:
    """The kept summary of a comparison."""
    return json.loads((RESULTS / name / "summary.json").read_text(encoding="utf-8"))


def results(name: str) -> str:
    """The command, the headline, the main table and what belongs beside it."""
    summary = summary_of(name)
    command = json.loads((RESULTS / name / "workload.json").read_text(encoding="utf-8"))["command"]
    said = "\n".join(f"- {text}" for text in findings(summary))
    return f"`{command}`: {headline(summary)}\n\n{markdown(summary)}\n{said}\n"


def constants() -> str:
    """The best constant scale of every kept comparison, against the controller's default."""
    titles = ["workload", "best of the grid", "its speed-up", "AHSAR's speed-up", "AHSAR against it", "ACs, AHSAR / it"]
    lines = []
    for path in sorted(RESULTS.glob("*/summary.json")):
        summary = summary_of(path.parent.name)
        best, ours = summary["arms"].get("constant"), summary["arms"].get("ahsar")
        if not best or not ours:
            continue
        against = summary["against"]["constant"]
        price = (against["pareto"] or {}).get("acs")
        shown = [path.parent.name, f"{best['scale']:g}", *map(speedup, (best["speedup"], ours["speedup"], against["speedup"]))]
        honest = summary["against"].get("constant-left-out")
        lines.append([*shown, times(price) if price else "–", speedup(honest and honest["speedup"])])
    return markdown_table([*titles, "against the one chosen on other seeds"], lines)


def overhead() -> str:
    """What `python -m benchmarks.overhead` measured."""
    found = json.loads((RESULTS / "overhead.json").read_text(encoding="utf-8"))
    lines = [
        f"Measured on {found['device']}, PyTorch {found['torch']}; {found['rounds']} rounds of {found['block']} steps. "
        f"`import ahsar` takes {found['import_seconds'] * 1000:.0f} ms beyond `import torch`.\n\n"
    ]
    lines.append("| | ms per step | detached again | interval 1 | interval 10 | bytes held | host copies per step |\n")
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
    for name, row in found["workloads"].items():
        ratios = [_ratio(row[kind]) for kind in ("detached again", "attached, interval 1", "attached, interval 10")]
        one = row["attached, interval 1"]
        cells = [name, f"{row['seconds_per_step'] * 1000:.0f}", *ratios, count(one["extra_tensor_bytes"])]
        lines.append("| " + " | ".join([*cells, f"{one['extra_host_syncs_per_step']:g}"]) + " |\n")
    return "".join(lines)


def training() -> str:
    """What `python -m benchmarks.training` measured."""
    found = json.loads((RESULTS / "training.json").read_text(encoding="utf-8"))
    turns = f"in turns of {found['block']} step{'s' * (found['block'] > 1)}"
    lines = [f"Measured on {found['device']}, PyTorch {found['torch']}; {found['clock']}, {turns}.\n\n"]
    lines.append("| | steps | ms per step | detached again | attached | layers at rest at the end |\n")
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |\n")
    for name, row in found["workloads"].items():
        ratios = [_ratio(row[kind], "interval") for kind in ("detached again", "attached")]
        cells = [name, str(row["steps"]), f"{row['seconds_per_step'] * 1000:.0f}", *ratios, str(row["resting"])]
        lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)


def compiled() -> str:
    """What `python -m benchmarks.compile` measured."""
    found = json.loads((RESULTS / "compile.json").read_text(encoding="utf-8"))
    lines = [f"Measured on {found['device']}, PyTorch {found['torch']}, backend {found['backend']}; medians.\n\n"]
    lines.append("| | eager | eager attached | compiled | compiled attached | compiled attached / compiled |\n")
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |\n")
    for name, row in found["workloads"].items():
        kinds = ("eager", "eager attached", "compiled", "compiled attached")
        cells = [name, *(f"{row[kind]['seconds_per_step'] * 1000:.1f} ms" for kind in kinds), _ratio(row[kinds[-1]])]
        lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)


def _ratio(row: dict, spread: str = "quartiles") -> str:
    return f"{row['ratio']:.4f} [{row[spread][0]:.3f}–{row[spread][1]:.3f}]"


def filled(text: str) -> str:
    """A document with every marked stretch made anew."""

    def replace(match: re.Match[str]) -> str:
        kind, _, name = match[1].partition(":")
        made = {
            "results": lambda: results(name),
            "matrix": lambda: matrix(name),
            "population": lambda: population(name),
            "short": lambda: short(name),
        }
        body = {**made, "constants": constants, "overhead": overhead, "training": training, "compiled": compiled}[kind]()
        return f"<!-- {match[1]} -->\n{body}<!-- /{match[1]} -->"

    return re.sub(r"<!-- ([\w:-]+) -->\n.*?<!-- /\1 -->", replace, text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep results and show them in the documents.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fill")
    commands.add_parser("draw")
    commands.add_parser("keep").add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "keep":
        for folder in options.folders:
            kinds = {"matrix-about.json": keep_matrix, "population-about.json": keep_population}
            kept = next((of_kind for about, of_kind in kinds.items() if (folder / about).exists()), keep)
            print(kept(folder))
    elif options.command == "draw":
        for folder in sorted(path for path in RESULTS.iterdir() if path.is_dir()):
            draw(folder)
            print(folder)
    else:
        for path in FILLED:
            path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
