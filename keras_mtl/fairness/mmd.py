"""MMD: scores whose distribution is the same in every group."""

from typing import Any

import keras

from keras_mtl.alignment.mmd import mmd
from keras_mtl.fairness._score_distance import ScoreDistance


@keras.saving.register_keras_serializable("keras_mtl.fairness")
class MMD(ScoreDistance):
    """Draws the score distributions of groups together: the squared maximum mean discrepancy.

    The kernels are those of `keras_mtl.alignment.mmd`, on the raw scores (log-odds of a Binary task),
    in units of the scores' own spread. The estimate is the unbiased one, which does not gain by scores
    that all shrink; it may be a little below 0 where groups do not differ.

    Prost, Qian, Chen, Chi, Chen and Beutel, "Toward a Better Trade-off between Performance and
    Fairness with Kernel-based Distribution Matching", 2019, arXiv:1910.11779. The discrepancy is that
    of Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012; equalised odds and equal opportunity
    those of Hardt, Price and Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016,
    arXiv:1610.02413.

    Args:
        sensitive: The label that tells a row's group: integers from 0, -1 where it is not known.
        groups: How many groups there are.
        strength: Of the discrepancy in the joint loss.
        criterion: "demographic_parity", "equalized_odds" or "equal_opportunity".
        **kwargs: What a Keras layer takes.

    Raises:
        ValueError: If an argument is not one of these.

    Example:

    >>> import keras_mtl
    >>> from keras_mtl import encoders, tasks
    >>> model = keras_mtl.build_model(
    ...     encoders.Dense(features=4, units=[16]),
    ...     [tasks.Binary("income"), tasks.Regression("education", units="years")],
    ...     fairness={"income": MMD("sex", groups=2, strength=1.0)},
    ... )
    >>> model.label_names
    ['income', 'education', 'sex']
    """

    def distance(self, x: Any, y: Any, x_weights: Any, y_weights: Any) -> Any:
        return mmd(x, y, x_weights, y_weights, estimate="unbiased")
