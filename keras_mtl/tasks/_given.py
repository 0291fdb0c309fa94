"""A yes that presupposes another: the chance of both, from the chance of each step."""

from typing import Any

import keras
from keras import ops

from keras_mtl._prediction import ReadsOthers


def log_odds_of_both(given: Any, conditional: Any) -> Any:
    """`logit(sigmoid(a) sigmoid(b)) = -logsumexp(-a, -b, -(a + b))`, in the shape of a and b.

    Exact where the product itself would be 0 or 1 to the last digit.

    Args:
        given: a, log-odds of what comes first.
        conditional: b, log-odds of the second where the first has come.
    """
    against = ops.stack([-given, -conditional, -(given + conditional)], axis=-1)
    return -ops.logsumexp(against, axis=-1)


@keras.saving.register_keras_serializable("keras_mtl")
class Given(ReadsOthers):
    """Log-odds of a yes where another is there to log-odds of both: two of `(B, 1)` to `(B, 1)`.

    In float32 whatever the model computes in.
    """

    def __init__(self, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, scores: Any, given: Any) -> Any:
        return log_odds_of_both(given, scores)

    def compute_output_shape(self, scores_shape: Any, given_shape: Any) -> Any:
        return scores_shape
