"""What may be tried: as Optuna draws it, and as it is told."""

import numpy as np
import pytest

from keras_mtl.tuning import Choice, Float, Int, Simplex
from keras_mtl.tuning.space import FirstOf, check_space

optuna = pytest.importorskip("optuna")


def drawn(parameter, n=200):
    """Values of a parameter as Optuna's random sampler proposes them, and their distributions."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(n)]
    return [parameter.suggest(trial, "p") for trial in trials], trials[0].distributions


def test_ranges_keep_their_ends_scale_and_step():
    values, kinds = drawn(Float(1e-4, 1e-2, log=True))
    assert kinds == {"p": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)}
    assert np.median(values) == pytest.approx(1e-3, rel=0.3)  # the middle of the exponents
    values, _ = drawn(Int(16, 128, step=16))
    assert set(values) == set(range(16, 129, 16))
    values, _ = drawn(Float(0.0, 1.0, step=0.25), 60)
    assert set(values) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_choices_give_back_the_very_values():
    large = object()
    choice = Choice({"small": [8, 16], "large": large})
    values, kinds = drawn(choice, 20)
    assert kinds["p"].choices == ("small", "large")
    assert any(value is large for value in values) and [8, 16] in values
    assert [choice.told(value) for value in ([8, 16], large)] == ["small", "large"]
    assert choice.value("large") is large
    lists = Choice([[8], [8, 16], None, True, 1])
    assert lists.labels == ["[8]", "[8, 16]", None, True, 1]
    for value in lists.values:
        assert lists.value(lists.told(value)) is value


def test_shares_are_uniform_on_the_simplex():
    """Mean and covariance of the Dirichlet distribution whose parameters are all 1."""
    names = ["a", "b", "c"]
    values, kinds = drawn(Simplex(names), 4000)
    assert list(kinds) == ["p.a", "p.b"]
    weights = np.array([[value[name] for name in names] for value in values])
    assert weights.sum(axis=1) == pytest.approx(3.0)
    shares = weights / 3.0
    covariance = (np.eye(3) / 3 - np.full((3, 3), 1 / 9)) / 4
    assert shares.mean(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=0.01)
    assert np.cov(shares.T) == pytest.approx(covariance, abs=0.004)


def test_shares_by_hand():
    # 1 - (1 - 0.75)^(1/2) = 0.5 of the whole, then 0.5 of the rest.
    assert Simplex(["a", "b", "c"], total=1.0).shared({"a": 0.75, "b": 0.5}) == pytest.approx(
        {"a": 0.5, "b": 0.25, "c": 0.25}
    )
    assert Simplex(["a", "b"]).shared({"a": 1.0}) == {"a": 2.0, "b": 0.0}


def test_the_first_of_everything():
    first = FirstOf()
    assert Int(3, 9).suggest(first, "p") == 3
    assert Choice(["x", "y"]).suggest(first, "p") == "x"
    assert Simplex(["a", "b"]).suggest(first, "p") == {"a": 0.0, "b": 2.0}


WRONG = [
    (lambda: Float(1, 1), ValueError, "expected low < high"),
    (lambda: Float(0, 1, log=True), ValueError, "begins above 0"),
    (lambda: Float(0, 1, step=2), ValueError, "0 < step <= high - low"),
    (lambda: Float(0, float("inf")), ValueError, "low < high"),
    (lambda: Int(1, 2.5), TypeError, "whole numbers.*2.5"),
    (lambda: Choice([]), ValueError, "without options"),
    (lambda: Choice("abc"), TypeError, "a list of options"),
    (lambda: Choice([[1], "[1]"]), ValueError, "read alike"),
    (lambda: Choice([object()]), TypeError, "dict from names to options"),
    (lambda: Simplex(["a"]), ValueError, "two or more names"),
    (lambda: Simplex(["a", "a"]), ValueError, "two or more names"),
    (lambda: Simplex(["a", "b"], total=0), ValueError, "positive number"),
    (lambda: check_space([Int(1, 2)]), TypeError, "a dict from names"),
    (lambda: check_space({}), ValueError, "is empty"),
    (lambda: check_space({"units": [1, 2]}), TypeError, r"holds \[1, 2\] for 'units'"),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG)
def test_what_cannot_be_tried_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
