"""Census-Income (KDD): who earns much, and who never married."""

import gzip
from typing import Any

import numpy as np

from keras_mtl.data import Examples, from_frame, split
from keras_mtl.datasets._source import File, locate

_NAMES = [
    "age", "class_of_worker", "industry_code", "occupation_code", "education",
    "wage_per_hour", "enrolled", "marital_status", "major_industry", "major_occupation",
    "race", "hispanic_origin", "sex", "union_member", "unemployment_reason", "employment",
    "capital_gains", "capital_losses", "dividends", "tax_status", "previous_region",
    "previous_state", "household_family", "household", "instance_weight", "msa_change",
    "region_change", "region_move", "same_house", "sunbelt", "employer_size", "parents",
    "father_born", "mother_born", "self_born", "citizenship", "own_business", "veterans_form",
    "veterans_benefits", "weeks_worked", "year", "income",
]  # fmt: skip
_NUMBERS = {
    "age", "wage_per_hour", "capital_gains", "capital_losses", "dividends", "employer_size",
    "weeks_worked",
}  # fmt: skip
# A weight of the row is no feature; the other two are the tasks.
_LEFT_OUT = {"instance_weight", "marital_status", "income"}

_FILES = {
    "census-income.test.gz": File(
        "https://raw.githubusercontent.com/rzskhr/census-income-classification/"
        "32818dc3314f7496223da9031b9f819061d0c018/data/census-income.test.gz",
        "5ac4cacd3ca9f1ecb10de1a0a41e4ac68fdc419e3fec190f5c0c6cc03b2ea659",
    )
}


def census_income(data_dir: Any = None, *, seed: int = 0) -> tuple[Examples, Examples, Examples]:
    """Persons of the US census of 1994 and 1995, in the setting of the MMoE and PLE papers.

    Two tasks: `income`, whether somebody earns more than 50,000 dollars (6 % do), and
    `never_married` (43 %). UCI Census-Income (KDD), its published test part of 99,762 rows, CC BY 4.0;
    Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts",
    KDD 2018, use it with these tasks.

    Args:
        data_dir: The folder that holds `census-income.test.gz`, or the one above it; by default the
            environment variable `KERAS_MTL_DATA`, then a download.
        seed: Makes the split repeatable: 60 % to train, 20 % to choose by, 20 % to judge by.

    Returns:
        Training, validation and test rows: 39 inputs, numbers and names, each `(n,)`; labels `income`
        and `never_married`, `(n,)` of 0 and 1.

    Raises:
        ValueError: If the file is not there, or a row has not 42 columns; names the row.
    """
    paths = locate("census_income_kdd", _FILES, data_dir)
    path = paths["census-income.test.gz"]
    rows = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                cells = [cell.strip() for cell in line.split(",")]
                if len(cells) != len(_NAMES):
                    raise ValueError(
                        f"{path}, row {number} has {len(cells)} columns, expected {len(_NAMES)}; get "
                        "the file anew."
                    )
                rows.append(cells)
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); get it anew.") from None
    columns: dict[str, Any] = dict(zip(_NAMES, zip(*rows, strict=True), strict=True))
    table: dict[str, Any] = {}
    for name in _NAMES:
        if name in _LEFT_OUT:
            continue
        table[name] = np.array(columns[name], "float32" if name in _NUMBERS else str)
    table["rich"] = np.array([cell.startswith("50000+") for cell in columns["income"]], int)
    table["single"] = np.array([c == "Never married" for c in columns["marital_status"]], int)
    inputs = [name for name in table if name not in ("rich", "single")]
    whole = from_frame(table, inputs, {"income": "rich", "never_married": "single"})
    return split(whole, (0.6, 0.2, 0.2), seed=seed)
