"""How alike two representations of the same rows are, whatever their widths and axes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_mtl.evaluation.affinity import Affinity

_KERNELS = ("linear", "rbf")
_DISTANCES = ("correlation", "cosine", "euclidean")


def cka(
    x: Any, y: Any, *, kernel: str = "linear", bandwidth: float = 1.0, debiased: bool = False
) -> float:
    """How alike two representations are, from 0 to 1; turning or scaling either changes nothing.

    CKA(K, L) = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), with `K = X X^T` ("linear") or
    `K_ij = exp(-|x_i - x_j|^2 / (2 s^2))` ("rbf"). The biased estimate of HSIC nears 1 for any two
    representations that are wide against the number of rows; the debiased one does not, and may
    come out a little below 0 for representations that have nothing in common.

    Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network Representations Revisited",
    ICML 2019, arXiv:1905.00414; debiased: Song et al., "Feature Selection via Dependence
    Maximization", JMLR 2012.

    Args:
        x: `(n, ...)`, one representation a row; further axes count as features.
        y: `(n, ...)` of the same rows; the number of features may differ.
        kernel: "linear" or "rbf".
        bandwidth: s of "rbf", in units of the median distance between two rows.
        debiased: Whether HSIC is estimated without bias; wants 4 rows.

    Raises:
        ValueError: If rows do not match, are too few or not finite, or all are alike.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(cka(x, 7 * x[:, ::-1]), 6)
    1.0
    """
    if kernel not in _KERNELS:
        raise ValueError(f"`kernel` is {kernel!r}; expected one of {list(_KERNELS)}.")
    if not bandwidth > 0:
        raise ValueError(f"`bandwidth` is {bandwidth!r}; expected a positive number.")
    x, y = _rows(x, y, at_least=4 if debiased else 2)
    if kernel == "rbf":
        return _cka(_centred(_rbf(x, bandwidth)), _centred(_rbf(y, bandwidth)), np.diag, debiased)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    if max(x.shape[1], y.shape[1]) > len(x):
        return _cka(x @ x.T, y @ y.T, np.diag, debiased)
    # tr(X X^T Y Y^T) = |X^T Y|^2 does without `(n, n)` matrices.
    return _cka(x, y, lambda z: np.square(z).sum(axis=1), debiased, lambda a, b: (a.T @ b) ** 2)


def hsic(k: Any, m: Any, *, debiased: bool = False) -> float:
    """How much two kernels depend on each other: 0 if they do not at all.

    Biased tr(K H M H) / (n - 1)^2 with `H = I - 1 1^T / n`; without bias the U-statistic of Song et
    al., JMLR 2012, eq. 5.

    Args:
        k: `(n, n)` kernel of the rows with each other.
        m: `(n, n)` another kernel of the same rows.
        debiased: Whether to estimate without bias; wants 4 rows.

    Raises:
        ValueError: If the kernels are not square, of different sizes, or of too few rows.
    """
    k, m = (np.asarray(kernel, "float64") for kernel in (k, m))
    least = 4 if debiased else 2
    if k.ndim != 2 or k.shape[0] != k.shape[1] or k.shape != m.shape or len(k) < least:
        raise ValueError(
            f"hsic compares two kernels of the same {least} or more rows, but they came with the "
            f"shapes {k.shape} and {m.shape}; expected (n, n) twice."
        )
    k, m = _centred(k), _centred(m)
    n = len(k)
    return _dependence((k * m).sum(), np.diag(k), np.diag(m), debiased) / (
        n * (n - 3) if debiased else (n - 1) ** 2
    )


def rsa(x: Any, y: Any, *, distance: str = "correlation") -> float:
    """Whether two representations find the same rows alike: from -1 to 1.

    The Spearman correlation of the two matrices of distances between rows, each pair of rows once.

    Dwivedi and Roig, "Representation Similarity Analysis for Efficient Task Taxonomy & Transfer
    Learning", CVPR 2019, arXiv:1904.11740.

    Args:
        x: `(n, ...)`, one representation a row; further axes count as features.
        y: `(n, ...)` of the same rows; the number of features may differ.
        distance: Between rows: "correlation" (1 - Pearson's, as in the paper), "cosine" or
            "euclidean".

    Raises:
        ValueError: If rows do not match, are fewer than 3 or not finite, or have no distance.
    """
    if distance not in _DISTANCES:
        raise ValueError(f"`distance` is {distance!r}; expected one of {list(_DISTANCES)}.")
    x, y = _rows(x, y, at_least=3)
    pairs = np.triu_indices(len(x), 1)
    ranks = []
    for name, rows in (("x", x), ("y", y)):
        found = _ranks(_distances(name, rows, distance)[pairs])
        if np.ptp(found) == 0:
            raise ValueError(
                f"All rows of `{name}` are equally far from each other, so that no distance can be "
                "compared; expected rows that differ."
            )
        ranks.append(found)
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def similarities(
    representations: Mapping[str, Any], measure: Callable[[Any, Any], float] = cka
) -> Affinity:
    """Every task's representation against every other's, `(K, K)`: prints, draws, and can be grouped.

    Args:
        representations: `{task: (n, ...)}` of the same n rows, such as the outputs of each task's
            own layers, or of single-task models.
        measure: `cka`, `rsa`, or a function of two representations.

    Raises:
        ValueError: If `measure` cannot compare two of them.
    """
    names = list(representations)
    matrix = np.eye(len(names))
    for i, one in enumerate(names):
        for j in range(i, len(names)):
            found = measure(representations[one], representations[names[j]])
            matrix[i, j] = matrix[j, i] = found
    return Affinity(matrix, names, kind=getattr(measure, "__name__", "similarity"))


def _cka(a: Any, b: Any, diagonal: Any, debiased: bool, product: Any = np.multiply) -> float:
    """From centred kernels, or from centred features that stand for them."""

    def dependence(one: Any, other: Any) -> float:
        return _dependence(product(one, other).sum(), diagonal(one), diagonal(other), debiased)

    of_x, of_y = dependence(a, a), dependence(b, b)
    for name, own in (("x", of_x), ("y", of_y)):
        if not own > 0:
            raise ValueError(
                f"The rows of `{name}` have nothing to compare: they are all alike; expected rows "
                "that differ."
            )
    return float(dependence(a, b) / np.sqrt(of_x * of_y))


def _dependence(trace: float, k: np.ndarray, m: np.ndarray, debiased: bool) -> float:
    """HSIC times its constant, from tr(K M) and the diagonals of centred kernels.

    A kernel that is centred has rows that sum to 0, so that leaving out its diagonal, as the
    U-statistic does, is a matter of the diagonals alone.
    """
    n = len(k)
    if not debiased:
        return float(trace)
    return float(trace - n / (n - 2) * (k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)))


def _centred(kernel: np.ndarray) -> np.ndarray:
    kernel = kernel - kernel.mean(axis=0)
    return kernel - kernel.mean(axis=1, keepdims=True)


def _rbf(rows: np.ndarray, bandwidth: float) -> np.ndarray:
    squared = _squared_distances(rows)
    median = np.median(np.sqrt(squared[np.triu_indices(len(rows), 1)]))
    if median <= 0:
        raise ValueError(
            "Half of the rows or more are alike, so that the median distance, the unit of "
            "`bandwidth`, is 0; expected rows that differ."
        )
    return np.exp(-squared / (2 * (bandwidth * median) ** 2))


def _squared_distances(rows: np.ndarray) -> np.ndarray:
    # About the mean, so that no digits are lost where all rows are far from 0.
    rows = rows - rows.mean(axis=0)
    squares = np.square(rows).sum(axis=1)
    squared = np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0.0)
    np.fill_diagonal(squared, 0.0)
    return squared


def _distances(name: str, rows: np.ndarray, distance: str) -> np.ndarray:
    if distance == "euclidean":
        return _squared_distances(rows)
    if distance == "correlation":
        rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(lengths > 0):
        raise ValueError(
            f"Row {int(np.argmin(lengths))} of `{name}` is constant and has no {distance}; use "
            "distance='euclidean'."
        )
    return 1 - (rows / lengths) @ (rows / lengths).T


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties at their mean."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[at]


def _rows(x: Any, y: Any, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for name, value in (("x", x), ("y", y)):
        rows = np.asarray(value, "float64")
        if rows.ndim < 2 or len(rows) < at_least:
            raise ValueError(
                f"`{name}` came with the shape {rows.shape}; expected (n, d) with n of {at_least} "
                "or more."
            )
        if not np.isfinite(rows).all():
            raise ValueError(f"`{name}` holds NaN or infinite numbers; expected finite ones.")
        found.append(rows.reshape(len(rows), -1))
    if len(found[0]) != len(found[1]):
        raise ValueError(
            f"`x` has {len(found[0])} rows and `y` has {len(found[1])}; expected representations of "
            "the same rows."
        )
    return found[0], found[1]
