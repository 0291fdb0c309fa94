"""Static: the alphas by task name, the same as `loss_weights`."""

import numpy as np
import pytest

from keras_mtl import balancing
from tests.models import compiled, rows


def test_static_weights_are_loss_weights():
    x, y = rows(32)
    alphas = {"z_price": 0.25, "a_kind": 2.0}
    a = compiled(seed=1, balancer=balancing.Static(alphas))
    b = compiled(seed=1, loss_weights=dict(alphas))
    for model in (a, b):
        model.fit(x, y, verbose=0, shuffle=False)
    for u, v in zip(a.trainable_variables, b.trainable_variables, strict=True):
        np.testing.assert_allclose(u.numpy(), v.numpy(), rtol=1e-5, atol=1e-7)


def test_unknown_tasks_and_bad_alphas_are_refused():
    with pytest.raises(ValueError, match="`alphas` names task 'price'"):
        compiled(balancer=balancing.Static({"price": 1.0}))
    with pytest.raises(ValueError, match="finite number"):
        balancing.Static({"a": -1.0})
