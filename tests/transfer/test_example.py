"""The example of transfer runs, and its figures are what they must be."""

import re

import pytest

from tests.test_examples import run


@pytest.mark.slow
def test_five_ways_to_use_a_trunk(tmp_path):
    shown = run(
        "transfer.py",
        "--seeds",
        1,
        "--epochs",
        8,
        "--labels",
        100,
        "--source-epochs",
        4,
        cwd=tmp_path,
    )
    found = {
        method: re.search(rf"^{method} +([\d.]+) ± nan +(.*?) +([\d,]+)$", shown, re.M).groups()
        for method in ("from scratch", "frozen", "all at once", "gradual", "LoRA")
    }
    assert all(40 < float(accuracy) < 100 for accuracy, _, _ in found.values())
    assert found["frozen"][1].startswith("0.0"), "a frozen trunk reads digits as before"
    weights = {method: int(count.replace(",", "")) for method, (_, _, count) in found.items()}
    assert weights["frozen"] == 64 * 32 + 32 + 32 + 1
    assert weights["LoRA"] - weights["frozen"] == 4 * (9 + 16 + 9 * 16 + 32 + 9 * 32 + 64)
    assert weights["gradual"] == weights["all at once"] == weights["from scratch"]
