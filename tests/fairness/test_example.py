"""examples/fairness.py prints the gap before and after, of either data set."""

import re

import pytest

from tests.test_examples import run


def figures(shown, task, what):
    """The means that are printed of a task, before and after."""
    return [float(v) for v in re.findall(rf"^{task} +{what} +([\d.]+) ±", shown, re.MULTILINE)]


@pytest.mark.slow
@pytest.mark.needs_data
def test_the_gap_before_and_after(tmp_path, data_dir):
    shown = run(
        "fairness.py", "--data-dir", data_dir / "compas", "--seeds", 1, "--strengths", 4,
        "--epochs", 5, cwd=tmp_path,
    )  # fmt: skip
    assert shown.startswith("compas, groups by race")
    before, after = figures(shown, "two_year_recid", "demographic_parity_difference")
    areas = figures(shown, "two_year_recid", "auc")
    assert after < 0.6 * before and before > 0.1
    assert 0.55 < areas[1] < areas[0] + 0.02
    told = (
        f"the demographic parity difference of two_year_recid goes from {before:.3f} to {after:.3f}"
    )
    assert told in shown and "not beyond chance" in shown, "of one seed nothing is proven"
