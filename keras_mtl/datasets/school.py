"""School: exam scores of 139 schools, each a task with pupils of its own."""

from typing import Any

import numpy as np

from keras_mtl.data import Examples
from keras_mtl.datasets._source import File, locate

_FILES = {
    "school.mat": File(
        "https://raw.githubusercontent.com/jiayuzhou/MALSAR/"
        "fb9751594983df020ddc4f7e4a40520ee7c37989/data/school.mat",
        "57fb3238fdd03a9aa17276e2ce18d9bbb5d128c3261e794fe6233b58b6909068",
    )
}


def school(data_dir: Any = None, *, seed: int = 0) -> tuple[Examples, Examples, Examples]:
    """The exam scores of 15,362 pupils at 139 schools of London, a regression task a school.

    Inner London Education Authority, 1985 to 1987, as published with MALSAR (Zhou, Chen and Ye,
    2011); used for multi-task learning since Bakker and Heskes, JMLR 2003. Each school's pupils are
    split by chance, 60 % to train, 20 % to choose by, 20 % to judge by.

    Args:
        data_dir: The folder that holds `school.mat`, or the one above it; by default the environment
            variable `KERAS_MTL_DATA`, then a download.
        seed: Makes the split repeatable.

    Returns:
        Training, validation and test rows: input `pupil`, `(n, 27)`: year, exam, sex, ethnic group and
        the like, all but two of them 0 or 1; labels `school_0` to `school_138`, `(n, 1)`: the score
        where a pupil is of that school, else NaN; label `school`, `(n,)`, which school it is.

    Raises:
        ValueError: If the file is not there, or is not what it should be.
    """
    import scipy.io

    path = locate("school", _FILES, data_dir)["school.mat"]
    try:
        content = scipy.io.loadmat(path)
        pupils, scores = content["X"][0], content["Y"][0]
    except (KeyError, ValueError, NotImplementedError, TypeError, OSError) as error:
        raise ValueError(
            f"{path} is not the MATLAB file with cells X and Y that it should be ({error}); get it "
            "anew."
        ) from None
    sizes = [len(rows) for rows in pupils]
    if len(pupils) != len(scores) or sizes != [len(rows) for rows in scores] or min(sizes) < 5:
        raise ValueError(f"{path} has schools whose pupils and scores do not match; get it anew.")
    which = np.repeat(np.arange(len(sizes)), sizes)
    # The last column is 1 for all.
    x = np.concatenate([rows[:, :-1] for rows in pupils]).astype("float32")
    y = np.concatenate([rows.reshape(-1) for rows in scores]).astype("float32")
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for k, size in enumerate(sizes):
        rows = np.flatnonzero(which == k)[rng.permutation(size)]
        cuts = np.cumsum(np.round(np.array([0.6, 0.2]) * size).astype(int))
        for part, found in zip(parts, np.split(rows, cuts), strict=True):
            part.append(found)
    made = [_of_schools(x, y, which, np.concatenate(part)) for part in parts]
    return made[0], made[1], made[2]


def _of_schools(x: Any, y: Any, which: Any, rows: Any) -> Examples:
    labels: dict[str, Any] = {}
    for k in range(int(which.max()) + 1):
        labels[f"school_{k}"] = np.where(which[rows] == k, y[rows], np.nan)[:, None]
    return Examples({"pupil": x[rows]}, {**labels, "school": which[rows].astype("int32")})
