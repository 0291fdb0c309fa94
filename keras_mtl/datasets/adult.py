"""Adult: who earns much, who never married, and who went to school how long."""

from typing import Any

import numpy as np

from keras_mtl.data import Examples, split
from keras_mtl.datasets._source import File
from keras_mtl.datasets._text_table import codes, located, numbers, rows_of

SEXES = ("Female", "Male")
RACES = ("White", "Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other")

_NAMES = [
    "age", "workclass", "weight", "education", "education_years", "marital_status", "occupation",
    "relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week",
    "native_country", "income",
]  # fmt: skip
_NUMBERS = ("age", "capital_gain", "capital_loss", "hours_per_week")
_TEXTS = ("workclass", "occupation", "race", "sex", "native_country")

_FILES = {
    "adult.data": File(
        "https://raw.githubusercontent.com/vrizawahyu22/adult-dataset/"
        "177cebb7401e583c4b6be6e0d060d8035c63b065/adult.data",
        "7974b56173c9e296a971a3881558f1cf56f19bd7faa18d226136f319339efcaa",
    ),
    "adult.test": File(
        "https://raw.githubusercontent.com/probml/pmtkdata/"
        "42bc2738a294382f9d6ffb1b0203404ffb10295a/adultCensus/adult.test",
        "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    ),
}


def adult(data_dir: Any = None, *, seed: int = 0) -> tuple[Examples, Examples, Examples]:
    """Persons of the US census of 1994: their income, whether they ever married, and their schooling.

    Becker and Kohavi, UCI Adult, 1996, CC BY 4.0. 11 % of the women and 31 % of the men of the training
    rows earn more than 50,000 dollars: the data set on which methods for fairness are compared. Ding et
    al., "Retiring Adult", NeurIPS 2021, arXiv:2108.04884, tell what it cannot show.

    Args:
        data_dir: The folder that holds `adult.data` and `adult.test`, gzipped or not, or the one above
            it; by default the environment variable `KERAS_MTL_DATA`, then a download.
        seed: Makes repeatable which fifth of the 32,561 training rows is to choose by.

    Returns:
        Training, validation and test rows, the last as published (16,281): 9 inputs, each `(n,)`,
        numbers and text, "" where one is missing; labels, each `(n,)`: `income`, 1 above 50,000
        dollars, `never_married`, 0 or 1, `education_years`, 1 to 16, and, for those who ask for groups,
        `sex` and `race`, the place in `SEXES` and `RACES`. The marital status, what it can be told
        from (the relationship), the education and the weight of a row are no inputs.

    Raises:
        ValueError: If a file is not there, or a row is not of 15 columns of the kind expected.
    """
    paths = located("adult", _FILES, {name: f"{name}.gz" for name in _FILES}, data_dir)
    learnt, judged = (_read(paths[name], header=name == "adult.data") for name in _FILES)
    train, valid = split(learnt, (0.8, 0.2), stratify=["income", "sex"], seed=seed)
    return train, valid, judged


def _read(path: Any, *, header: bool) -> Examples:
    rows = rows_of(path)[1 if header else 0 :]
    if not rows or len(rows[0]) != len(_NAMES):
        raise ValueError(
            f"{path} has rows of {len(rows[0]) if rows else 0} columns, expected {len(_NAMES)}; get "
            "the file anew."
        )
    found = {
        name: ["" if cell == "?" else cell for cell in cells]
        for name, cells in zip(_NAMES, zip(*rows, strict=True), strict=True)
    }
    inputs: dict[str, Any] = {name: numbers(path, name, found[name]) for name in _NUMBERS}
    inputs |= {name: np.array(found[name], object) for name in _TEXTS}
    # Labels of the test rows end in a full stop.
    income = [cell.removesuffix(".") for cell in found["income"]]
    labels = {
        "income": codes(path, "income", income, ("<=50K", ">50K")),
        "never_married": np.array([s == "Never-married" for s in found["marital_status"]], "int32"),
        "education_years": numbers(path, "education_years", found["education_years"]),
        "sex": codes(path, "sex", found["sex"], SEXES),
        "race": codes(path, "race", found["race"], RACES),
    }
    examples = Examples(inputs, labels, allow_nan=True)
    examples.classes = {"sex": list(SEXES), "race": list(RACES)}
    return examples
