"""What the picture of a robustness test shows, in words with its numbers: for those who do not see it."""

from typing import Any

from ahsar.lab.report.text import signed


def seen(summary: dict[str, Any]) -> str:
    """Each row's accuracy, clean and corrupted, and where AHSAR gains and loses most."""
    said = [f"{row['label']} {row['clean']['mean']:.3f} and {row['mean']['mean']:.3f}" for row in summary["rows"]]
    rows = {(row["arm"], row["mode"]): row["corruptions"] for row in summary["rows"]}
    base, ours = rows["baseline", "frozen"], rows["ahsar", "frozen"]
    gaps = {name: ours[name]["mean"] - base[name]["mean"] for name in summary["corruptions"]}
    low, high = min(gaps, key=lambda name: gaps[name]), max(gaps, key=lambda name: gaps[name])
    return (
        f"Accuracy on clean and on corrupted samples: {', '.join(said)}. Frozen, AHSAR less the baseline goes from "
        f"{signed(gaps[low])} ({low}) to {signed(gaps[high])} ({high})."
    )
