"""New classes from a few steps of a linear head, on features that were trained for just that."""

import functools
from typing import Any

from keras import ops

from keras_mtl.transfer._episodic import fit_episodes
from keras_mtl.transfer.episodes import Episodes


def adapted_head(
    features: Any, labels: Any, ways: int, *, steps: int = 5, rate: float = 2.0
) -> tuple[Any, Any]:
    """The weights `(d, ways)` and biases `(ways,)` of a softmax head after a few gradient steps.

    Gradient descent on the mean cross-entropy from zero, where all classes are alike. The gradient is
    written out, `X^T (p - y) / n` and the mean of `p - y`, so that the steps are plain algebra, and
    gradients flow through them to the features. The step is `rate / (1 + mean ||x||^2)`, so that one
    rate suits features of any length: the curvature is at most half of what it is divided by, and
    below a rate of 4 every step lessens the loss.

    Args:
        features: X, `(n, d)`.
        labels: `(n,)`, from 0 to `ways - 1`.
        ways: How many classes.
        steps: How many steps.
        rate: The learning rate, in these units.

    Raises:
        ValueError: If there is no step, or the rate is not positive.
    """
    if steps < 1 or not rate > 0:
        raise ValueError(
            f"adapted_head came with steps={steps!r} and rate={rate!r}; expected at least one step, "
            "and a positive rate."
        )
    features = ops.cast(features, "float32")
    truth = ops.one_hot(labels, ways, dtype="float32")
    # The sum of the truth is n.
    step = rate / (1 + ops.mean(ops.sum(ops.square(features), axis=-1))) / ops.sum(truth)
    kernel = ops.zeros((features.shape[-1], ways), "float32")
    bias = ops.zeros((ways,), "float32")
    for _ in range(steps):
        error = step * (ops.softmax(ops.matmul(features, kernel) + bias, axis=-1) - truth)
        kernel = kernel - ops.matmul(ops.transpose(features), error)
        bias = bias - ops.sum(error, axis=0)
    return kernel, bias


def anil_scores(
    support_features: Any,
    support_labels: Any,
    query_features: Any,
    ways: int,
    *,
    steps: int = 5,
    rate: float = 2.0,
) -> Any:
    """The scores of the head that `adapted_head` makes of what is shown: `(Q, ways)`."""
    kernel, bias = adapted_head(support_features, support_labels, ways, steps=steps, rate=rate)
    return ops.matmul(ops.cast(query_features, "float32"), kernel) + bias


def fit_anil(
    model: Any,
    episodes: Episodes,
    *,
    inner_steps: int = 5,
    rate: float = 2.0,
    steps: int = 100,
    epochs: int = 10,
    optimizer: Any = "adam",
    verbose: Any = "auto",
) -> Any:
    """Trains what a model's tasks share so that a few steps of a new head are enough.

    ANIL, "almost no inner loop": MAML (Finn, Abbeel and Levine, ICML 2017, arXiv:1703.03400) with an
    inner loop over the head alone. Raghu, Raghu, Bengio and Vinyals, "Rapid Learning or Feature
    Reuse? Towards Understanding the Effectiveness of MAML", ICLR 2020, arXiv:1909.09157. The outer
    gradient goes through the inner steps to the features. Theirs learns where the head starts; here
    it starts from zero, which does not depend on the order of the classes (Ye and Chao, "How to Train
    Your MAML to Excel in Few-Shot Classification", ICLR 2022, arXiv:2106.16245).

    Args:
        model: A `MultiTaskModel`, trained or not.
        episodes: Over the inputs of the model.
        inner_steps: Steps of the head in an episode.
        rate: Their learning rate, in the units of `adapted_head`.
        steps: Episodes an epoch, a step of the features each.
        epochs: How many epochs.
        optimizer: Of the features, as in Keras.
        verbose: As in `keras.Model.fit`.

    Returns:
        The Keras history, with `loss` and `accuracy` of what was asked.
    """
    score = functools.partial(anil_scores, steps=inner_steps, rate=rate)
    return fit_episodes(
        model,
        episodes,
        score,
        steps=steps,
        epochs=epochs,
        optimizer=optimizer,
        verbose=verbose,
    )
