"""COMPAS: who was charged again within two years, and which risk a program had told of them."""

from typing import Any

import numpy as np

from keras_mtl.data import Examples, split
from keras_mtl.datasets._source import File
from keras_mtl.datasets._text_table import codes, located, numbers, rows_of

SEXES = ("Female", "Male")
RACES = ("African-American", "Caucasian", "Hispanic", "Other", "Asian", "Native American")

_NUMBERS = ("age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")
_TEXTS = ("sex", "race", "c_charge_degree")

_PUBLISHED = "compas-scores-two-years.csv"
_FILES = {
    _PUBLISHED: File(
        "https://raw.githubusercontent.com/propublica/compas-analysis/"
        f"bafff5da3f2e45eca6c2d5055faad269defd135a/{_PUBLISHED}",
        "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d",
    )
}
# The same rows without names, dates of birth and case numbers, none of which is read.
_KEPT_AS = {_PUBLISHED: "compas-scores-two-years.anonymous.csv.gz"}


def compas(data_dir: Any = None, *, seed: int = 0) -> tuple[Examples, Examples, Examples]:
    """Defendants of Broward County, Florida, 2013 and 2014, and what a risk score said of them.

    Angwin, Larson, Mattu and Kirchner, "Machine Bias", ProPublica, 2016; all 7,214 published rows,
    which their own analysis filters further. A new charge is not a new crime: the label says whom the
    police arrested. For comparing methods of fairness alone, never for decisions (Bao et al., "It's
    COMPASlicated", NeurIPS 2021 Datasets and Benchmarks, arXiv:2106.05498).

    Args:
        data_dir: The folder that holds `compas-scores-two-years.csv`, or the same without names as
            `compas-scores-two-years.anonymous.csv.gz`, or the folder above it; by default the
            environment variable `KERAS_MTL_DATA`, then a download.
        seed: Makes the split repeatable: 60 % to train, 20 % to choose by, 20 % to judge by.

    Returns:
        Training, validation and test rows: 8 inputs known at the screening, each `(n,)`, numbers and
        text; labels, each `(n,)`: `two_year_recid`, `violent_recid` (charged with a violent crime at
        any time later), 0 or 1, `decile_score`, 1 to 10, and, for those who ask for groups, `sex` and
        `race`, the place in `SEXES` and `RACES`.

    Raises:
        ValueError: If the file is not there, a column is missing, or a cell is not of the kind
            expected.
    """
    path = located("compas", _FILES, _KEPT_AS, data_dir)[_PUBLISHED]
    header, *rows = rows_of(path) or [[]]
    wanted = [*_NUMBERS, *_TEXTS, "two_year_recid", "is_violent_recid", "decile_score"]
    missing = [name for name in wanted if name not in header]
    if missing or not rows:
        raise ValueError(
            f"{path} has no columns {missing} or no rows; expected those that ProPublica published; "
            "get the file anew."
        )
    # Two columns come twice, the same both times.
    found = {name: [row[header.index(name)] for row in rows] for name in wanted}
    inputs: dict[str, Any] = {name: numbers(path, name, found[name]) for name in _NUMBERS}
    inputs |= {name: np.array(found[name], object) for name in _TEXTS}
    labels = {
        "two_year_recid": codes(path, "two_year_recid", found["two_year_recid"], "01"),
        "violent_recid": codes(path, "is_violent_recid", found["is_violent_recid"], "01"),
        "decile_score": numbers(path, "decile_score", found["decile_score"]),
        "sex": codes(path, "sex", found["sex"], SEXES),
        "race": codes(path, "race", found["race"], RACES),
    }
    whole = Examples(inputs, labels)
    whole.classes = {"sex": list(SEXES), "race": list(RACES)}
    return split(whole, (0.6, 0.2, 0.2), stratify=["two_year_recid", "race"], seed=seed)
