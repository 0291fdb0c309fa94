"""Covariance multi-task network: how the tasks are related is learnt with their weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._relations import Relates, Relation
from keras_mtl.sharing._heads import TiesHeads
from keras_mtl.sharing._towers import Penalty

_PRIORS = ("matrix", "tensor")
# How much of a covariance is even, so that it can be inverted in float32.
_EVEN = 1e-3


def task_covariance(products: Any) -> Any:
    """`Omega = M^(1/2) / tr M^(1/2)`, the best of trace 1 for `tr(Omega^-1 M)`, `(K, K)`.

    Args:
        products: `M`, `(K, K)`: inner products of the tasks' weights.
    """
    k = products.shape[0]
    values, vectors = ops.eigh(products / ops.maximum(ops.trace(products), 1e-30))
    roots = ops.sqrt(ops.maximum(values, 0.0))
    total = ops.sum(roots)
    shares = ops.where(total > 0, roots / ops.where(total > 0, total, 1.0), 1.0 / k)
    shares = (1.0 - _EVEN) * shares + _EVEN / k
    return ops.matmul(vectors * shares, ops.transpose(vectors))


def mode_covariance(weights: Any, precisions: Sequence[Any], mode: int) -> Any:
    """The most likely covariance of one mode of a tensor normal, given the others, `(n, n)`.

    `S_m = W_(m) (x_{l != m} S_l)^-1 W_(m)^T / (P / n)`, scaled to trace n, plus a little of the
    identity.

    Args:
        weights: `(K, d, u)`.
        precisions: The inverse covariances of the three modes.
        mode: 0 for tasks, 1 for inputs, 2 for units.
    """
    others = [p if m != mode else None for m, p in enumerate(precisions)]
    whitened = along_modes(weights, others)
    n = weights.shape[mode]
    rows, other = (ops.reshape(ops.moveaxis(w, mode, 0), (n, -1)) for w in (weights, whitened))
    found = ops.matmul(rows, ops.transpose(other))
    found = (found + ops.transpose(found)) / 2.0
    trace = ops.trace(found)
    even = ops.eye(n)
    found = ops.where(trace > 0, found * n / ops.where(trace > 0, trace, 1.0), even)
    return (1.0 - _EVEN) * found + _EVEN * even


def along_modes(weights: Any, matrices: Sequence[Any]) -> Any:
    """`(K, d, u)` multiplied along each mode by its matrix, where there is one."""
    for formula, matrix in zip(
        ("ij,jdu->idu", "ij,kju->kiu", "ij,kdj->kdi"), matrices, strict=True
    ):
        if matrix is not None:
            weights = ops.einsum(formula, matrix, weights)
    return weights


@keras.saving.register_keras_serializable("keras_mtl")
class Covariance(TiesHeads, Relates):
    """Tasks draw on each other's weights as far as they are related, which is learnt.

    The weights of the K tasks, `W = (w_1, ..., w_K)`, have a matrix-normal prior whose covariance over
    tasks is learnt with them. Its cost is added to the joint loss,

        strength / 2 * tr(W Omega^-1 W^T)    with    Omega = (W^T W)^(1/2) / tr (W^T W)^(1/2)

    found anew in closed form as the weights change. Each task has layers of its own here, under its head,
    and every one of them such a prior; `prior="tensor"` learns covariances over inputs and units
    besides, as in the second paper. With `units=()` the prior is of the heads' own kernels, the last
    before the scores; with linear heads on the inputs themselves that is the method of the first.

    Zhang and Yeung, "A Convex Formulation for Learning Task Relationships in Multi-Task Learning",
    UAI 2010, arXiv:1203.3536; Long, Cao, Wang and Yu, "Learning Multiple Tasks with Multilinear
    Relationship Networks", NeurIPS 2017, arXiv:1506.02117.

    Args:
        units: Width of each layer that a task has to itself here.
        strength: Of the prior. With unrelated tasks of one length it is `K strength` times an l2
            penalty; 0 is hard sharing, or separate layers.
        every: How often the covariances are found anew, in steps. They are soon out of date, and the
            prior then draws the wrong way; more than 1 is for where finding them is dear, as with
            hundreds of tasks.
        prior: "matrix" (over tasks) or "tensor" (over tasks, inputs and units).
        activation: Of the layers.

    Raises:
        ValueError: If a number or the prior is out of range, or, when it meets the model, heads are
            of different shapes.
    """

    def __init__(
        self,
        units: Sequence[int] = (64,),
        strength: float = 1e-3,
        every: int = 1,
        prior: str = "matrix",
        activation: str = "tanh",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not strength >= 0 or not np.isfinite(strength):
            raise ValueError(f"`strength` is {strength!r}; expected a number that is not negative.")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` is {every!r}; expected a positive integer, in steps.")
        if prior not in _PRIORS:
            raise ValueError(f"`prior` is {prior!r}; expected one of {list(_PRIORS)}.")
        if prior == "tensor" and not units:
            raise ValueError(
                "prior='tensor' is of layers that the tasks have here; give it their widths, such as "
                "units=(64,)."
            )
        if any(int(u) != u or u < 1 for u in units):
            raise ValueError(f"`units` is {list(units)}; expected widths of at least 1.")
        self.units = [int(u) for u in units]
        self.strength = float(strength)
        self.every = every
        self.prior = prior
        self.activation = activation

    @property
    def ties_heads(self) -> bool:
        """Whether the prior is of the heads' kernels."""
        return not self.units

    def build(self, input_shape: Any) -> None:
        k, width = len(self.task_names), input_shape[-1]
        # Of each layer one a task, so that a balancer sees that they are not shared.
        self.kernels: list[list[Any]] = []
        self.biases: list[list[Any]] = []
        self._covariances: list[Any] = []
        self._precisions: list[list[Any]] = []
        for i, units in enumerate(self.units):
            self.kernels.append(
                [
                    self.add_weight((width, units), "glorot_uniform", name=f"{task}_kernel_{i}")
                    for task in self.task_names
                ]
            )
            self.biases.append(
                [self.add_weight((units,), "zeros", name=f"{t}_bias_{i}") for t in self.task_names]
            )
            self._make_prior(i, (k, width, units) if self.prior == "tensor" else (k,))
            width = units
        if not self.units:
            self._make_prior(0, (k,))
        self.steps = self.add_weight((), "zeros", "int64", trainable=False, name="steps")
        self.cost = Penalty(self._cost)
        self.built = True

    def call(self, features: Any, training: bool | None = None) -> dict[str, Any]:
        if self.units or self.knows_heads:
            if training:
                self._update([ops.cast(ops.stop_gradient(w), "float32") for w in self._weights()])
            self.add_loss(self.cost(ops.convert_to_tensor(self.strength / 2.0, "float32")))
        found = dict.fromkeys(self.task_names, features)
        act = keras.activations.get(self.activation)
        for kernels, biases in zip(self.kernels, self.biases, strict=True):
            for task, kernel, bias in zip(self.task_names, kernels, biases, strict=True):
                found[task] = act(ops.matmul(found[task], kernel) + bias)
        return found

    def compute_output_shape(self, input_shape: Any) -> dict[str, Any]:
        width = self.units[-1] if self.units else input_shape[-1]
        return dict.fromkeys(self.task_names, (*input_shape[:-1], width))

    @property
    def task_covariance(self) -> np.ndarray:
        """Omega of the last layer that has a prior, `(K, K)`, in the order of `task_names`."""
        return ops.convert_to_numpy(self._covariances[-1])

    @property
    def task_correlation(self) -> np.ndarray:
        """Omega as correlations from -1 to 1, `(K, K)`."""
        covariance = self.task_covariance
        lengths = np.sqrt(np.diag(covariance))
        return covariance / np.outer(lengths, lengths)

    def relations(self) -> dict[str, Relation]:
        """The task correlation."""
        return {
            "task correlation": Relation(self.task_correlation, self.task_names, self.task_names)
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": list(self.units),
            "strength": self.strength,
            "every": self.every,
            "prior": self.prior,
            "activation": self.activation,
        }

    def _make_prior(self, layer: int, sizes: Sequence[int]) -> None:
        # The matrix prior has trace 1, each mode of the tensor prior the trace of the identity.
        scale = 1.0 / sizes[0] if self.prior == "matrix" else 1.0
        kept = {"dtype": "float32", "trainable": False, "autocast": False}
        self._covariances.append(
            self.add_weight(
                (sizes[0], sizes[0]), _Scaled(scale), name=f"covariance_{layer}", **kept
            )
        )
        self._precisions.append(
            [
                self.add_weight(
                    (n, n), _Scaled(1.0 / scale), name=f"precision_{layer}_{mode}", **kept
                )
                for mode, n in enumerate(sizes)
            ]
        )

    def _weights(self) -> list[Any]:
        """What has a prior, each `(K, d, u)`."""
        if not self.units:
            return [self.head_kernels()]
        return [ops.stack([kernel.value for kernel in kernels]) for kernels in self.kernels]

    def _cost(self) -> Any:
        total = 0.0
        for weights, precisions in zip(self._weights(), self._precisions, strict=True):
            found = [p.value for p in precisions]
            whitened = along_modes(weights, [*found, None, None][:3])
            total = total + ops.sum(weights * whitened)
        return total

    def _update(self, layers: Sequence[Any]) -> None:
        """Finds the covariances anew, at each `every`-th step."""
        self.steps.assign_add(1)
        due = ops.equal(self.steps % self.every, 0)
        for layer, weights in enumerate(layers):
            precisions = [p.value for p in self._precisions[layer]]
            kept = [self._covariances[layer].value, *precisions]
            new = ops.cond(due, lambda w=weights, p=precisions: self._found(w, p), lambda k=kept: k)
            self._covariances[layer].assign(new[0])
            for precision, value in zip(self._precisions[layer], new[1:], strict=True):
                precision.assign(value)

    def _found(self, weights: Any, precisions: Sequence[Any]) -> list[Any]:
        if self.prior == "matrix":
            flat = ops.reshape(weights, (weights.shape[0], -1))
            covariance = task_covariance(ops.matmul(flat, ops.transpose(flat)))
            return [covariance, ops.inv(covariance)]
        covariance, precisions = None, list(precisions)
        for mode in range(3):
            found = mode_covariance(weights, precisions, mode)
            covariance = found if covariance is None else covariance
            precisions[mode] = ops.inv(found)
        return [covariance, *precisions]


class _Scaled(keras.initializers.Initializer):
    """A multiple of the identity."""

    def __init__(self, scale: float):
        self.scale = scale

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        return self.scale * ops.eye(shape[0], dtype=dtype)
