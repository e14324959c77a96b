"""For how much of the training one arm leads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahsar.lab.results.lasting import lead
from ahsar.lab.results.schema import Record


def record(metrics: list[float | None], status: str = "done", higher: bool = True) -> Record:
    curve = [{"step": 10 * i, "val_metric": value} for i, value in enumerate(metrics)]
    return {"status": status, "curve": curve, "budget": 10 * (len(metrics) - 1), "higher_is_better": higher}


def test_a_lead_that_is_gone_at_the_end_is_told_from_one_that_lasts() -> None:
    base = record([0.1, 0.2, 0.4, 0.6, 0.8])
    early = record([0.1, 0.5, 0.6, 0.6, 0.7])
    assert lead([base], [early]) == {"ahead": 0.5, "behind": 0.25, "until": 0.5}
    late = record([0.1, 0.2, 0.4, 0.6, 0.9])
    assert lead([base], [late]) == {"ahead": 0.25, "behind": 0.0, "until": 1.0}
    assert lead([base], [base]) == {"ahead": 0.0, "behind": 0.0, "until": 0.0}


def test_what_was_before_training_counts_for_nothing() -> None:
    assert lead([record([0.1, 0.5])], [record([0.9, 0.5])]) == {"ahead": 0.0, "behind": 0.0, "until": 0.0}


def test_pairs_that_diverged_are_left_out_and_without_one_nothing_is_said() -> None:
    base, ours = record([0.1, 0.2]), record([0.1, 0.4])
    wild = record([0.1, None], status="diverged")
    assert lead([base, base], [ours, wild]) == lead([base], [ours])
    assert lead([base], [wild]) is None and lead([], []) is None


def test_an_evaluation_that_one_trial_lacks_is_left_out() -> None:
    assert lead([record([0.1, 0.2, 0.3])], [record([0.1, None, 0.5])]) == {"ahead": 1.0, "behind": 0.0, "until": 1.0}


curves = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(st.lists(st.tuples(curves, curves), min_size=1, max_size=4))
def test_who_leads_turns_with_the_arms_and_with_the_direction_of_the_metric(pairs: list[Any]) -> None:
    length = min(len(curve) for pair in pairs for curve in pair)
    a, b = ([record(pair[i][:length]) for pair in pairs] for i in (0, 1))
    forth, back = lead(a, b), lead(b, a)
    assert forth and back
    assert (forth["ahead"], forth["behind"]) == (back["behind"], back["ahead"])
    lower = [[{**row, "higher_is_better": False} for row in rows] for rows in (a, b)]
    assert lead(*lower) == pytest.approx(back)
    assert forth["ahead"] + forth["behind"] <= 1 and (forth["until"] > 0) == (forth["ahead"] > 0)
