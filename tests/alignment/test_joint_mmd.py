"""Joint MMD: the product of the layers' kernels, and what it sees that MMD of each layer does not."""

import numpy as np
import pytest

from keras_mtl.alignment.joint_mmd import JointMMD, joint_mmd
from keras_mtl.alignment.mmd import mmd
from tests.alignment._samples import samples
from tests.alignment.test_mmd import kernel, unit


@pytest.mark.parametrize("estimate", ["biased", "unbiased", "linear"])
def test_of_one_layer_it_is_mmd(estimate):
    x, y = samples()
    assert float(joint_mmd([x], [y], estimate=estimate)) == float(mmd(x, y, estimate=estimate))


def test_kernels_of_layers_are_multiplied():
    x, y = samples()
    (x1, x2), (y1, y2) = (x[:, :3], x[:, 3:]), (y[:, :3], y[:, 3:])
    s1, s2 = unit(x1, y1), unit(x2, y2)
    xx, yy, xy = (
        (kernel(a1, b1, s1) * kernel(a2, b2, s2)).mean()
        for a1, b1, a2, b2 in ((x1, x1, x2, x2), (y1, y1, y2, y2), (x1, y1, x2, y2))
    )
    assert float(joint_mmd([x1, x2], [y1, y2])) == pytest.approx(xx + yy - 2 * xy, rel=1e-4)


def test_it_sees_which_values_go_together(rng):
    """Layers of the same values, paired the other way round: each layer alone is no different."""
    values = rng.normal(size=(20, 1)).astype("float32")
    x, y = [values, values], [values, -values[np.argsort(values[:, 0])[::-1]]]
    y = [values[np.argsort(values[:, 0])], values[np.argsort(values[:, 0])[::-1]]]
    for one, other in zip(x, y, strict=True):
        assert float(mmd(one, other)) < 1e-5
    assert float(joint_mmd(x, y)) > 0.05


def test_widths_tell_the_layers_of_one_tensor():
    x, y = samples(6, 6)
    features, domains = np.concatenate([x, y]), np.repeat([0, 1], 6).astype("int32")
    found = JointMMD(domains=2, widths=[1, 2, 1]).penalty(features, domains)
    layers = [(side[:, :1], side[:, 1:3], side[:, 3:]) for side in (x, y)]
    assert float(found) == pytest.approx(float(joint_mmd(*layers)), rel=1e-4)
    alone = JointMMD(domains=2).penalty(features, domains)
    assert float(alone) == pytest.approx(float(mmd(x, y)), rel=1e-4)
    with pytest.raises(
        ValueError, match=r"`widths` .* are \[1, 2\], which is 3 features, but there"
    ):
        JointMMD(domains=2, widths=[1, 2]).build((None, 4))
