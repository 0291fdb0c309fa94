"""Examples: what is refused, and what batches hold."""

import numpy as np
import pytest

from keras_mtl.data import Examples


def test_columns_become_batches_of_the_promised_types():
    rows = Examples(
        {"x": np.arange(6.0).reshape(3, 2), "tokens": [["a", "b"], ["c"], ["d", "e", "f"]]},
        {"kind": [1, -1, 0], "price": [1.5, np.nan, 2.0], "tags": [[0, 1], [1], [0, 0, 1]]},
        {"kind": [1.0, 2.0, 3.0]},
    )
    inputs, labels, weights = next(iter(rows.dataset(3)))
    assert inputs["tokens"].numpy().tolist() == [
        [b"a", b"b", b""],
        [b"c", b"", b""],
        [b"d", b"e", b"f"],
    ]
    assert labels["tags"].numpy().tolist() == [[0, 1, -1], [1, -1, -1], [0, 0, 1]]
    assert labels["kind"].dtype == "int32" and labels["price"].dtype == "float32"
    assert set(weights) == {"kind", "price", "tags"}
    np.testing.assert_array_equal(weights["price"], np.ones(3))


def test_the_order_is_new_each_epoch_and_the_same_in_two_runs():
    rows = Examples({"x": np.arange(50.0)}, {"y": np.arange(50)})

    def epochs(seed):
        batches = rows.dataset(7, shuffle=True, seed=seed)
        return [[int(v) for _, y in batches for v in y["y"]] for _ in range(3)]

    first = epochs(3)
    assert first == epochs(3) and first != epochs(4)
    assert first[0] != first[1] != first[2]
    assert all(sorted(epoch) == list(range(50)) for epoch in first)
    assert int(rows.dataset(7, shuffle=True, seed=3).cardinality()) == 8


def test_an_order_is_used_up_only_by_a_pass_that_is_read():
    """Keras makes iterators that it does not read; they must not cost an order."""
    rows = Examples({"x": np.arange(20.0)}, {"y": np.arange(20)})

    def order(batches):
        return [int(v) for _, y in batches for v in y["y"]]

    plain, idle = (rows.dataset(20, shuffle=True, seed=1) for _ in range(2))
    expected = [order(plain) for _ in range(3)]
    got = []
    for _ in range(3):
        iter(idle)
        got.append(order(idle))
    assert got == expected


def test_buckets_save_padding_and_lose_no_row(rng):
    lengths = rng.integers(1, 40, 400)
    rows = Examples({"tokens": [["w"] * n for n in lengths]}, {"row": np.arange(400)})

    def padding(**how):
        batches = list(rows.dataset(16, shuffle=True, seed=0, **how))
        seen = sorted(int(v) for _, y in batches for v in y["row"])
        assert seen == list(range(400))
        return sum(int(x["tokens"].shape[0] * x["tokens"].shape[1]) for x, _ in batches)

    assert padding(bucket=True) < 0.7 * padding()
    bucketed = rows.dataset(16, bucket=True)
    assert int(bucketed.cardinality()) == len(list(bucketed))


def test_selecting_keeps_rows_together():
    rows = Examples({"tokens": [["a"], ["b", "c"], ["d"]]}, {"y": [0, 1, 2]}, {"y": [1, 2, 3]})
    rows.classes = {"y": ["p", "q", "r"]}
    some = rows.select([2, 1])
    assert [list(some.inputs["tokens"][i]) for i in range(2)] == [["d"], ["b", "c"]]
    assert some.labels["y"].tolist() == [2, 1] and some.weights["y"].tolist() == [3, 2]
    assert some.classes == rows.classes and len(rows) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Examples({"x": [1.0, 2.0]}, {"y": [1]}), r"input 'x': 2, labels of task 'y': 1"),
        (lambda: Examples({"x": []}, {}), r"there is no row"),
        (lambda: Examples({}, {"y": [1]}), r"at least one input"),
        (lambda: Examples({"x": [1.0, np.nan]}, {}), r"Input 'x' has nan in row 1"),
        (lambda: Examples({"x": [[1.0], [2.0, np.inf]]}, {}), r"Input 'x' has inf in row 1"),
        (lambda: Examples({"x": [1.0]}, {"y": [-1]}), r"All 1 labels of task 'y' are missing"),
        (lambda: Examples({"x": [1.0]}, {"y": [np.inf]}), r"'y' hold an infinite number"),
        (lambda: Examples({"x": [1.0]}, {"y": [1]}, {"z": [1]}), r"`weights` names the tasks \['z'\]"),
        (lambda: Examples({"x": [1.0]}, {"y": [1]}).dataset(0), r"`batch_size` is 0"),
        (lambda: Examples({"x": [1.0]}, {"y": [1]}).dataset(2, drop_remainder=True), r"no batch of 2"),
        (lambda: Examples({"x": [1.0]}, {"y": [1]}).dataset(2, bucket=True), r"leave it out"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_text_labels_are_refused_with_the_mend():
    with pytest.raises(TypeError, match=r"use data.from_frame"):
        Examples({"x": [1.0, 2.0]}, {"y": ["yes", "no"]})
    assert len(Examples({"x": [1.0, np.nan]}, {}, allow_nan=True)) == 2
