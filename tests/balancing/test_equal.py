"""Equal: the sum of the losses, the same as no balancer."""

import numpy as np

from tests.models import compiled, rows


def test_equal_weights_are_no_balancer():
    x, y = rows(32)
    models = [compiled(seed=1, balancer=b) for b in (None, "equal")]
    for model in models:
        model.fit(x, y, epochs=2, verbose=0, shuffle=False)
    for u, v in zip(*(m.trainable_variables for m in models), strict=True):
        np.testing.assert_allclose(u.numpy(), v.numpy(), rtol=1e-6, atol=1e-7)
