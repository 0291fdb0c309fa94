"""mix: the laws by their counts, one form of batches, the same draws under a seed."""

import numpy as np
import pytest

from keras_mtl.data import Examples, mix


def source(value, n, **labels):
    return Examples({"x": np.full((n, 2), float(value))}, labels)


@pytest.fixture
def sources():
    return {
        "a": source(1, 100, kind=np.ones(100, int)),
        "b": source(2, 40, price=np.full(40, 2.0)),
    }


def counts(mixed, values=(1, 2)):
    found = [int(x["x"][0, 0]) for x, _ in mixed]
    return [found.count(v) for v in values]


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        ("proportional", [10, 4]),
        ("uniform", [7, 7]),
        ("temperature", [9, 5]),  # 10^(1/2) : 4^(1/2) = 0.613 : 0.387 of 14
        ("longest", [10, 10]),
        ("shortest", [4, 4]),
    ],
)
def test_shares_follow_the_law_exactly(sources, law, expected):
    mixed = mix(sources, law, batch_size=10, seed=0)
    assert counts(mixed) == expected
    assert int(mixed.cardinality()) == sum(expected)


def test_annealing_goes_from_proportional_towards_uniform(sources):
    mixed = mix(sources, "annealed", batch_size=10, epochs=5, seed=0)
    found = [int(x["x"][0, 0]) for x, _ in mixed]
    assert len(found) == 70
    by_epoch = [found[14 * e : 14 * (e + 1)].count(2) for e in range(5)]
    power = 1 - 0.8
    last = 14 * 4**power / (10**power + 4**power)
    assert by_epoch[0] == 4 and by_epoch[-1] == round(last) and by_epoch == sorted(by_epoch)


def test_every_batch_has_every_task_and_says_what_is_missing(sources):
    for inputs, labels in mix(sources, batch_size=10, seed=0):
        assert set(labels) == {"kind", "price"}
        of_a = float(inputs["x"][0, 0]) == 1
        assert np.isnan(labels["price"]).all() == of_a
        assert (labels["kind"].numpy() == -1).all() == (not of_a)


def test_missing_tags_have_as_many_positions_as_the_tokens():
    tokens = {"tokens": [["a", "b", "c"], ["d"]]}
    tagged = Examples(tokens, {"tags": [[0, 1, 0], [1]]})
    judged = Examples(tokens, {"intent": [0, 1]})
    shapes = {tuple(y["tags"].shape) for _, y in mix({"t": tagged, "i": judged}, batch_size=2)}
    assert shapes == {(2, 3)}


def test_draws_repeat_under_a_seed_and_differ_between_epochs(sources):
    def orders(seed):
        mixed = mix(sources, batch_size=10, seed=seed)
        return [[int(x["x"][0, 0]) for x, _ in mixed] for _ in range(3)]

    assert orders(1) == orders(1) and orders(1) != orders(2)
    assert orders(1)[0] != orders(1)[1]


def test_what_cannot_be_mixed_is_refused(sources):
    with pytest.raises(ValueError, match="expected one of"):
        mix(sources, "random")
    with pytest.raises(ValueError, match="two or more"):
        mix({"a": sources["a"]})
    other = Examples({"z": np.zeros(4)}, {"kind": np.zeros(4, int)})
    with pytest.raises(ValueError, match="all must have the same inputs"):
        mix({"a": sources["a"], "b": other})
    unknown = sources["b"].dataset(4).filter(lambda x, y: True)
    with pytest.raises(ValueError, match="'b' does not tell how many batches"):
        mix({"a": sources["a"], "b": unknown})
