"""Divergence against SciPy's entropies."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

from keras_mtl.alignment.divergence import Divergence, divergence
from tests.alignment._samples import gradients, samples


def predictions():
    return [softmax(side, axis=1) for side in samples()]


def test_it_is_that_of_scipy():
    x, y = predictions()
    p, q = x.mean(0), y.mean(0)
    expected = {
        "kl": entropy(p, q),
        "symmetric": (entropy(p, q) + entropy(q, p)) / 2,
        "js": jensenshannon(p, q) ** 2,
    }
    for form, value in expected.items():
        assert float(divergence(x, y, form=form)) == pytest.approx(value, rel=1e-3, abs=1e-7)
        found = divergence(*samples(), form=form, from_logits=True)
        assert float(found) == pytest.approx(value, rel=1e-3, abs=1e-7)


def test_a_value_by_hand():
    """Of (1/2, 1/2) from (1/4, 3/4): log 2 / 2 + log(2/3) / 2."""
    x = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    y = np.array([[0.5, 0.5], [0.0, 1.0]], "float32")
    expected = (np.log(2) + np.log(2 / 3)) / 2
    assert float(divergence(x, y, form="kl")) == pytest.approx(expected, rel=1e-5)
    # What is certain in one batch is the opposite in the other.
    ones = np.tile(np.array([[1.0, 0.0]], "float32"), (3, 1))
    for form, bound in (("js", np.log(2)), ("symmetric", np.log(1e7)), ("kl", np.log(1e7))):
        value, found = gradients(
            lambda a, b, form=form: divergence(a, b, form=form), ones, 1 - ones
        )
        assert float(value) == pytest.approx(bound, rel=1e-4)
        assert all(np.isfinite(g).all() for g in found)


def test_means_are_compared_and_not_rows():
    sure, unsure = np.eye(2, dtype="float32"), np.full((2, 2), 0.5, "float32")
    assert float(divergence(sure, unsure)) < 1e-7


def test_one_column_is_refused():
    with pytest.raises(
        ValueError, match=r"alignment\.Divergence .* but the last axis has 1; give a"
    ):
        Divergence(domains=2).build((None, 1))
    with pytest.raises(ValueError, match="the last axis has 1"):
        divergence(np.ones((3, 1), "float32"), np.ones((3, 1), "float32"))
    with pytest.raises(ValueError, match="`form` of divergence is 'hellinger'"):
        divergence(*predictions(), form="hellinger")
