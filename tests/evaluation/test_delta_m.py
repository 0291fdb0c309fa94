"""Delta_m by hand."""

import pytest

from keras_mtl.evaluation import delta_m


def test_by_hand():
    """+10 % of an accuracy and -5 % of an error (an error that grew) are +2.5 %."""
    got = delta_m({"a": 0.55, "b": 2.1}, {"a": 0.5, "b": 2.0}, {"a": True, "b": False})
    assert got == pytest.approx((10 - 5) / 2)
    assert delta_m({"a": 0.5}, {"a": 0.5}, {"a": True}) == 0.0


def test_what_it_is_not_defined_for():
    with pytest.raises(ValueError, match="which is 0 for task 'a'"):
        delta_m({"a": 1.0}, {"a": 0.0}, {"a": True})
    with pytest.raises(ValueError, match="the same tasks throughout"):
        delta_m({"a": 1.0}, {"b": 1.0}, {"a": True})
