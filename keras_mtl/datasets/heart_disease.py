"""Heart disease: patients of four hospitals, which are four domains."""

import csv
from typing import Any

import numpy as np

from keras_mtl.data import Examples
from keras_mtl.datasets._source import File, locate

HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
_HOST = (
    "https://raw.githubusercontent.com/hiteshwarsingh1/HeartDisease-Prediction/"
    "b791ec9e8730124a4f3e68d903935cd7d38dcf60/Datasets/"
)
_SHA256 = {
    "cleveland": "a8a74af09afc967d70c5564d46f2211aedddb00e0498ff1ebf91b0de03b729aa",
    "hungarian": "753e06f36272bcd2b7d8366f3414682e7b5c1d731c4a7957d1a4da67c822633b",
    "switzerland": "eff77adf92b1cb7c01de5e4a8051734b8d368463d16ce591ca51fca79191f6e2",
    "va": "3b4d4e3eb2d460196afcf21778b62e63dde0986fcfdb52004fce2620cc8e7f58",
}
# The thirteen that are usual, in the order of the files.
_FEATURES = [
    "age", "sex", "chest_pain", "blood_pressure", "cholesterol", "sugar", "resting_ecg",
    "heart_rate", "exercise_angina", "st_depression", "st_slope", "vessels", "thallium",
]  # fmt: skip
_CATEGORIES = {
    "sex",
    "chest_pain",
    "sugar",
    "resting_ecg",
    "exercise_angina",
    "st_slope",
    "thallium",
}
_FILES = {
    f"processed.{name}.data": File(f"{_HOST}processed.{name}.data", sha256)
    for name, sha256 in _SHA256.items()
}


def heart_disease(data_dir: Any = None) -> dict[str, Examples]:
    """Patients with and without a disease of the coronary arteries, of four hospitals.

    Detrano et al., American Journal of Cardiology 64, 1989; UCI Heart Disease, CC BY 4.0. The
    hospitals differ in their patients and in what they measured.

    Args:
        data_dir: The folder that holds `processed.cleveland.data` and the others, or the one above
            it; by default the environment variable `KERAS_MTL_DATA`, then a download.

    Returns:
        The rows of "cleveland" (303), "hungarian" (294), "switzerland" (123) and "va" (200): 13
        inputs, each `(n,)`, numbers with NaN and categories as text, "" where one is missing;
        labels, each `(n,)`: `disease`, 0 or 1, `severity`, 0 to 4 (Hungarian: 0 or 1, -1 above 0,
        since it does not tell), and `hospital`, 0 to 3.

    Raises:
        ValueError: If a file is not there, or a row is not 14 numbers; names the row.
    """
    paths = locate("heart_disease", _FILES, data_dir)
    return {
        hospital: _read(paths[f"processed.{hospital}.data"], i)
        for i, hospital in enumerate(HOSPITALS)
    }


def _read(path: Any, hospital: int) -> Examples:
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))[1:]
    rows = []
    for number, cells in enumerate(lines, 2):
        try:
            row = [float(cell) for cell in cells]
        except ValueError:
            row = []
        if len(row) != len(_FEATURES) + 1:
            raise ValueError(
                f"{path}, line {number} reads {cells}, expected {len(_FEATURES) + 1} numbers; get the "
                "file anew."
            )
        rows.append(row)
    table = np.array(rows)
    table[:, :-1][table[:, :-1] == -9] = np.nan
    inputs: dict[str, Any] = {}
    for i, name in enumerate(_FEATURES):
        column = table[:, i]
        if name in ("cholesterol", "blood_pressure", "thallium"):
            # No patient has none; it was not measured.
            column = np.where(column == 0, np.nan, column)
        if name in _CATEGORIES:
            inputs[name] = np.array(["" if np.isnan(v) else str(int(v)) for v in column])
        else:
            inputs[name] = column.astype("float32")
    grade = table[:, -1].astype("int32")
    severity = np.where(grade > 0, -1, 0) if HOSPITALS[hospital] == "hungarian" else grade
    labels = {
        "disease": (grade > 0).astype("int32"),
        "severity": severity.astype("int32"),
        "hospital": np.full(len(table), hospital, "int32"),
    }
    return Examples(inputs, labels, allow_nan=True)
