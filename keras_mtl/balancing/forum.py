"""FORUM: loss weights as an upper-level choice, by first-order gradients."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._adam import Adam
from keras_mtl.balancing._interior_point import Program, minimum
from keras_mtl.balancing._scaling import cosines, lengths, matvec
from keras_mtl.balancing._split_balancer import SplitBalancer
from keras_mtl.balancing.famo import softmax


def forum_shares(alike: Any, along: Any, square: Any, present: Any, *, phi: float) -> Any:
    """The weights of the held-out gradients, which the constraint on q helps to choose, `(K,)`.

    Minimises `|sum_i w_i F_i + v q|^2 - v phi |q|^2` over the simplex and `v >= max(0, sum_i w_i
    (phi - <F_i, q> / |q|^2))`.

    Args:
        alike: `(K, K)`, inner products of the held-out gradients F at unit length.
        along: `(K,)`, their inner products with the gradient of q.
        square: `()`, `|q|^2`.
        present: `(K,)`, 1 for a task that is present, else 0.
        phi: How fast q is to fall, over `|q|^2`.
    """
    k = alike.shape[0]
    length = ops.sqrt(square)
    onto = along / ops.where(length > 0, length, 1.0)
    edge = ops.expand_dims(onto, 1)
    quadratic = 2.0 * ops.concatenate(
        [
            ops.concatenate([alike, edge], axis=1),
            ops.concatenate([ops.transpose(edge), ops.ones((1, 1))], axis=1),
        ],
        axis=0,
    )
    # In units of 1 / |q|. What is absent counts for nothing, and is drawn to 0.
    slopes = ops.concatenate([1.0 - present, ops.reshape(-phi * length, (1,))])
    bound = ops.concatenate([present * (onto - phi * length), ops.ones((1,))])
    program = Program(
        quadratic=quadratic,
        linear=slopes,
        equal=ops.expand_dims(ops.concatenate([present, ops.zeros((1,))]), 0),
        equal_to=ops.ones((1,)),
        above=ops.concatenate([ops.eye(k + 1), ops.expand_dims(bound, 0)], axis=0),
        at_least=ops.zeros((k + 2,)),
    )
    start = ops.concatenate([ops.full((k,), 1.0 / k), ops.ones((1,))])
    found, _ = minimum(program, start)
    shares = present * ops.maximum(found[:k], 0.0)
    return shares / ops.maximum(ops.sum(shares), 1e-30)


@keras.saving.register_keras_serializable("keras_mtl")
class FORUM(SplitBalancer):
    """Learns loss weights for training rows under which the held-out losses fall together.

    Two levels made one: the held-out losses fall along MGDA's direction, under the constraint that the
    model stays near a minimum of the weighted training loss, whose weights are learnt too. What the
    paper's inner descent would reach is taken to first order, one step from here, so that no copy of
    the model is trained. One part of the batch is for training, the other held out.

    Ye, Lin, Cao, Zhang and Tsang, "A First-Order Multi-Gradient Algorithm for Multi-Objective Bi-Level
    Optimization", ECAI 2024, arXiv:2401.09257.

    Args:
        phi: How fast the constraint is to be met; 0.1 in the authors' code.
        inner_rate: The step size of the inner descent.
        learning_rate: Of the training weights, by Adam.

    Raises:
        ValueError: If a number is not positive.
    """

    def __init__(
        self,
        phi: float = 0.1,
        inner_rate: float = 0.1,
        learning_rate: float = 1e-3,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not phi > 0 or not inner_rate > 0 or not learning_rate > 0:
            raise ValueError(
                f"FORUM came with `phi` {phi!r}, `inner_rate` {inner_rate!r} and `learning_rate` "
                f"{learning_rate!r}; expected positive numbers."
            )
        self.phi = float(phi)
        self.inner_rate = float(inner_rate)
        self.learning_rate = float(learning_rate)

    def make_state(self, k: int) -> None:
        self.logits = Adam(self, "logits", "zeros", self.learning_rate)
        self.mean = self.vector("mean", keras.initializers.Constant(1.0 / k))
        self.epoch = self.add_weight((), "ones", "float32", trainable=False, name="epoch")

    def task_weights(self, products: Any, losses: Any, present: Any) -> Any:
        trained, held = products[0, :, 0, :], products[1, :, 1, :]
        norms = lengths(held)
        here = present > 0
        shares = softmax(self.logits.value.value, here)
        fall = self.inner_rate * matvec(trained, shares)
        by_logits = shares * (fall - ops.sum(shares * fall))
        square = ops.sum(shares * matvec(trained, shares)) + ops.sum(ops.square(by_logits))
        along = matvec(products[1, :, 0, :], shares) / norms
        found = forum_shares(cosines(held), along, square, present, phi=self.phi)
        rate = ops.power(self.epoch.value, -0.75)
        mean = ops.where(here, self.mean + rate * (found - self.mean), self.mean)
        self.mean.assign(mean)
        mean = present * mean / ops.maximum(ops.sum(present * mean), 1e-30)
        wanted = self.phi - along / ops.where(square > 0, square, 1.0)
        force = ops.maximum(ops.sum(mean * wanted), 0.0)
        self.logits.step(force * by_logits, here)
        return ops.stack([force * shares, mean / norms])

    def on_epoch_end(self) -> None:
        self.epoch.assign_add(1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "phi": self.phi,
            "inner_rate": self.inner_rate,
            "learning_rate": self.learning_rate,
        }
