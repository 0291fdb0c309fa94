"""Integrated gradients: against formulas by hand, finite differences, and what must add up."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl.evaluation import explain

WORDS = ["play", "rain", "a", "b", "c"]


def linear(weights, inputs=4):
    """A model of linear tasks of the given weights, and nothing else."""
    x = keras.Input((inputs,), name="x")
    layers = {name: keras.layers.Dense(1, name=name) for name in weights}
    model = keras_mtl.MultiTaskModel(x, {name: layer(x) for name, layer in layers.items()})
    for name, of_task in weights.items():
        layers[name].set_weights([np.array(of_task, "float32")[:, None], np.ones(1, "float32")])
    return model


def curved(seed=0):
    """Two classifiers on a shared curve of three inputs."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((3,), name="x")
    shared = keras.layers.Dense(8, activation="tanh", kernel_initializer="random_normal")(3 * x)
    kinds = [tasks.MultiClass("kind", 3), tasks.Binary("sold")]
    model = keras_mtl.MultiTaskModel(x, {t.name: t.head(shared) for t in kinds})
    for variable in model.trainable_variables:
        variable.assign(6 * variable.value if "kernel" in variable.path else variable.value)
    return model


def test_of_a_linear_model_it_is_the_weight_times_the_step(rng):
    weights = {"a": [1.0, -2.0, 0.0, 0.5], "b": [0.0, 3.0, 0.0, 1.0]}
    x = rng.normal(size=(7, 4)).astype("float32")
    found = explain(linear(weights), x, baseline=[1.0, 0.0, 0.0, 2.0], steps=1, batch_size=3)
    for task, w in weights.items():
        expected = np.array(w) * (x - [1.0, 0.0, 0.0, 2.0])
        np.testing.assert_allclose(found.attributions[task]["x"], expected, atol=1e-6)
        assert found.importance["x[1]"][task] == pytest.approx(
            np.abs(expected[:, 1]).mean(), rel=1e-5
        )
    from_mean = explain(linear(weights), {"x": x}, task="a")
    expected = np.array(weights["a"]) * (x - x.mean(axis=0))
    np.testing.assert_allclose(from_mean.attributions["a"]["x"], expected, atol=1e-6)


def test_attributions_are_the_integral_and_add_up(rng):
    model, x = curved(), rng.normal(size=(5, 3)).astype("float32")
    base = np.array([0.2, -0.1, 0.3], "float32")
    found = explain(model, x, baseline=base, target={"kind": 1})
    shared, kind, sold = (
        [v.numpy().astype("float64") for v in layer.variables]
        for layer in (model.get_layer(n) for n in ("dense", "kind_scores", "sold_scores"))
    )

    def served(rows):
        """The network written out, in double precision."""
        hidden = np.tanh(3 * rows @ shared[0] + shared[1])
        exps = np.exp(hidden @ kind[0] + kind[1])
        return {
            "kind": exps[..., 1] / exps.sum(axis=-1),
            "sold": 1 / (1 + np.exp(-(hidden @ sold[0] + sold[1])[..., 0])),
        }

    places = (np.arange(4000) + 0.5) / 4000
    way = base + places[:, None, None] * (x - base)
    change = {t: served(x)[t] - served(base)[t] for t in ("kind", "sold")}
    for task in change:
        # The definition, by midpoints and central differences.
        slopes = [
            (served(way + 1e-5 * axis)[task] - served(way - 1e-5 * axis)[task]).mean(axis=0) / 2e-5
            for axis in np.eye(3)
        ]
        expected = (x - base) * np.stack(slopes, axis=1)
        assert np.abs(change[task]).max() > 0.05
        np.testing.assert_allclose(found.attributions[task]["x"], expected, atol=0.005)
        np.testing.assert_allclose(expected.sum(axis=1), change[task], atol=1e-4)
        missed = found.attributions[task]["x"].sum(axis=1) - change[task]
        assert found.completeness_gap[task] == pytest.approx(np.abs(missed).max(), abs=1e-5)
        assert found.completeness_gap[task] < 0.01 * np.abs(change[task]).max() + 1e-5


def test_more_steps_miss_less_and_by_default_few_are_enough(rng):
    model, x = curved(), 3 * rng.normal(size=(5, 3)).astype("float32")
    gaps = [explain(model, x, task="sold", steps=n).completeness_gap["sold"] for n in (1, 4, 64)]
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]
    assert explain(model, x, task="sold").completeness_gap["sold"] < 0.01


def test_what_it_is_that_is_explained(rng):
    model, x = curved(), rng.normal(size=(6, 3)).astype("float32")
    served = model.predict(x, verbose=0)
    mean = model.predict(x.mean(axis=0)[None], verbose=0)
    found = explain(model, x)
    decided = served["kind"].argmax(axis=1)
    change = served["kind"][np.arange(6), decided] - mean["kind"][0, decided]
    np.testing.assert_allclose(found.attributions["kind"]["x"].sum(axis=1), change, atol=0.01)
    assert found.rows.targets == {"kind": [str(i) for i in decided], "sold": ["yes"] * 6}
    no = explain(model, x, task="sold", target="no")
    np.testing.assert_allclose(
        no.attributions["sold"]["x"], -found.attributions["sold"]["x"], atol=1e-6
    )


def test_every_kind_of_task_and_a_chain_add_up(rng):
    keras.utils.set_random_seed(3)
    kinds = [
        tasks.MultiLabel("many", ["r", "s", "t"]),
        tasks.Regression("where", ["up", "right"]),
        tasks.Ordinal("stars", 4),
        tasks.Binary("click"),
        tasks.Binary("buy", given="click"),
    ]
    model = keras_mtl.build_model(encoders.Dense(4, units=[6]), kinds)
    x = rng.normal(size=(9, 4)).astype("float32")
    served = model.predict(x, verbose=0)
    mean = model.predict(x.mean(axis=0)[None], verbose=0)
    found = explain(model, x, target={"where": "right", "many": "s"})
    columns = {"many": 1, "where": 1, "click": 0, "buy": 0}
    for task, column in columns.items():
        change = served[task][:, column] - mean[task][0, column]
        np.testing.assert_allclose(
            found.attributions[task]["features"].sum(axis=1), change, atol=2e-3
        )
    both = explain(model, x, task="where")
    np.testing.assert_allclose(
        both.attributions["where"]["features"].sum(axis=1),
        (served["where"] - mean["where"]).sum(axis=1),
        atol=2e-3,
    )
    assert both.rows.targets["where"] == ["up + right"] * 9
    likeliest = explain(model, x, task="many").rows.targets["many"]
    assert likeliest == [["r", "s", "t"][i] for i in served["many"].argmax(axis=1)]
    median = model.tasks["stars"].labels_from(served["stars"])
    assert found.rows.targets["stars"] == [str(i) for i in median]


@pytest.fixture(scope="module")
def table():
    """A model of columns of every kind, with its rows; `age` is NaN in row 2."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    columns = {
        "age": rng.uniform(20, 70, 30).astype("float32"),
        "job": rng.choice(["cook", "judge", "smith"], 30).astype(object),
        "zone": rng.integers(0, 4, 30),
    }
    columns["age"][2] = np.nan
    encoder = encoders.Tabular.infer(columns, units=[8], embedding=4)
    model = keras_mtl.build_model(encoder, [tasks.Regression("price"), tasks.MultiClass("kind", 3)])
    for variable in model.trainable_variables:
        variable.assign(variable.value * (20 if "categories" in variable.path else 2))
    return model, columns


def test_columns_of_numbers_and_names_add_up_to_the_change_from_a_told_row(table):
    model, columns = table
    base = {"age": 40.0, "job": "cook", "zone": 1}
    found = explain(model, columns, baseline=base, target={"kind": 2})
    served = model.predict(columns, verbose=0)
    rows = {k: np.array([v]) for k, v in base.items()}
    for task, column in (("price", 0), ("kind", 2)):
        start = np.full(30, model.predict(rows, verbose=0)[task][0, column])
        unknown = {**rows, "age": np.array([np.nan])}
        start[2] = model.predict(unknown, verbose=0)[task][0, column]
        told = found.attributions[task]
        assert {k: v.shape for k, v in told.items()} == dict.fromkeys(columns, (30,))
        np.testing.assert_allclose(
            sum(told.values()), served[task][:, column] - start, atol=0.01, rtol=0.01
        )
        assert told["age"][2] == 0
        # What is as in the baseline adds nothing, and what differs does.
        same = columns["job"] == "cook"
        assert np.all(told["job"][same] == 0) and np.all(told["job"][~same] != 0)
        assert np.all(told["zone"][columns["zone"] == 1] == 0)


def test_by_default_a_column_that_is_always_the_same_adds_nothing(table):
    model, columns = table
    rows = {**columns, "job": np.full(30, "smith", object), "zone": np.zeros(30, int)}
    found = explain(model, rows, steps=8)
    assert found.importance["job"] == found.importance["zone"] == {"price": 0.0, "kind": 0.0}
    assert found.importance["age"]["price"] > 0
    assert sorted(explain(model, columns, steps=8).importance) == ["age", "job", "zone"]


def test_the_model_is_left_as_it_is(table):
    model, columns = table
    before = [v.numpy() for v in model.variables]
    explain(model, columns, steps=4)
    for layer in model._flatten_layers():
        assert "call" not in vars(layer)
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


def bag(mask_zero=True, dtype=None):
    """The sum of what words, by number, count for each of two tasks; of any length."""
    ids = keras.Input((None,), name="ids", dtype="int32")
    embed = keras.layers.Embedding(6, 2, mask_zero=mask_zero, name="embed", dtype=dtype)
    vectors = embed(ids)
    there = ops.cast(ops.not_equal(ids, 0), vectors.dtype)[..., None]
    total = ops.sum(vectors * there, axis=1)
    model = keras_mtl.MultiTaskModel(
        ids, {"a": total[:, :1], "b": ops.tanh(ops.cast(total[:, 1:], "float32"))}
    )
    table = np.array([[9, 9], [1, 0], [2, -0.5], [0, 0.25], [-1, 0.5], [0, 0]], "float32")
    embed.set_weights([table])
    return model, table


@pytest.mark.parametrize("dtype", [None, "mixed_float16"])
def test_words_by_number_count_what_their_vectors_do(dtype):
    model, table = bag(dtype=dtype)
    ids = np.array([[1, 2, 0, 0], [4, 4, 3, 0], [5, 1, 2, 3]])
    found = explain(model, ids, batch_size=2)
    np.testing.assert_allclose(
        found.attributions["a"]["ids"], np.where(ids == 0, 0, table[ids, 0]), atol=1e-3
    )
    expected = np.tanh(np.where(ids == 0, 0, table[ids, 1]).sum(axis=1))
    np.testing.assert_allclose(found.attributions["b"]["ids"].sum(axis=1), expected, atol=1e-2)
    assert found.importance["ids: 2"]["a"] == pytest.approx((2 + 2) / 3, abs=1e-3)
    assert found.importance["ids: 4"]["a"] == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize(("mask_zero", "padding"), [(True, 0.0), (False, 9.0)])
def test_zero_is_padding_where_the_embedding_says_so(mask_zero, padding):
    ids = keras.Input((None,), name="ids", dtype="int32")
    embed = keras.layers.Embedding(2, 1, mask_zero=mask_zero, name="embed")
    model = keras_mtl.MultiTaskModel(ids, {"sum": ops.sum(embed(ids), axis=1)})
    embed.set_weights([np.array([[9], [2]], "float32")])
    told = explain(model, np.array([[1, 0], [1, 1]]), steps=2).attributions["sum"]["ids"]
    np.testing.assert_allclose(told, [[2, padding], [2, 2]], rtol=1e-6)


def test_one_embedding_for_two_inputs_is_told_apart():
    embed = keras.layers.Embedding(4, 1, name="embed")
    inputs = {n: keras.Input((), name=n, dtype="int32") for n in ("left", "right")}
    scale = {"left": 1.0, "right": 10.0}
    total = sum(scale[n] * embed(i) for n, i in inputs.items())
    model = keras_mtl.MultiTaskModel(inputs, {"sum": total})
    embed.set_weights([np.array([[0], [1], [2], [3]], "float32")])
    rows = {"left": np.array([3, 1, 2]), "right": np.array([1, 1, 3])}
    found = explain(model, rows, baseline={"left": 0, "right": 1})
    np.testing.assert_allclose(found.attributions["sum"]["left"], [3, 1, 2], rtol=1e-6)
    np.testing.assert_allclose(found.attributions["sum"]["right"], [0, 0, 20], rtol=1e-6)


def test_a_raw_text_is_told_word_by_word():
    keras.utils.set_random_seed(0)
    lookup = keras.layers.TextVectorization()
    lookup.adapt(["play a song", "rain in rome"])
    encoder = encoders.Text(lookup, "cnn", units=4, embedding=4)
    model = keras_mtl.build_model(encoder, [tasks.Regression("x"), tasks.Regression("y")])
    texts = np.array(["Play rain!", "a song in Rome", "zebra"], dtype=object)
    found = explain(model, texts, batch_size=2)
    assert found.rows.inputs["text"].tolist() == [
        ["play", "rain", "", ""],
        ["a", "song", "in", "rome"],
        ["[UNK]", "", "", ""],
    ]
    told = found.attributions["x"]["text"]
    assert told.shape == (3, 4) and np.all(told[0, 2:] == 0) and np.all(told[1] != 0)
    assert found.completeness_gap["x"] < 0.05 * np.abs(told.sum(axis=1)).max()


def test_tags_are_explained_by_words_and_their_spelling():
    keras.utils.set_random_seed(0)
    encoder = encoders.Text(WORDS, "cnn", units=4, embedding=4, characters=6)
    kinds = [tasks.SequenceTagging("slots", ["O", "B-x"]), tasks.MultiClass("intent", 2)]
    model = keras_mtl.build_model(encoder, kinds)
    rows = data.Examples(
        {"tokens": [["play", "b", "rain"], ["a"], ["c", "unheard"]]}, {"intent": [0, 1, 0]}
    )
    batch, _ = next(iter(rows.dataset(3)))
    there = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    found = explain(model, rows, target={"slots": "B-x"}, baseline="play")
    told = found.attributions["slots"]["tokens"]
    assert (
        np.all(told[there == 0] == 0) and told[0, 0] == 0 and np.all(told[1:][there[1:] == 1] != 0)
    )
    plays = np.where(there == 1, "play", "").astype(object)
    chances, other = (
        model.predict_on_batch({"tokens": words})["slots"][..., 1]
        for words in (batch["tokens"].numpy().astype(str).astype(object), plays)
    )
    np.testing.assert_allclose(told.sum(axis=1), ((chances - other) * there).sum(axis=1), atol=5e-3)


def test_tags_are_summed_over_the_words_that_are_there_or_one_position_alone():
    ids = keras.Input((None,), name="words", dtype="string")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"], mask_token="")
    embed = keras.layers.Embedding(4, 1, name="embed")
    scores = keras.layers.Dense(2, activation="sigmoid", name="scores")
    task = tasks.SequenceTagging("slots", ["O", "B-x"])
    served = scores(embed(lookup(ids)))
    model = keras_mtl.MultiTaskModel(ids, {"slots": served}, tasks=[task])
    embed.set_weights([np.array([[0], [9], [1], [-2]], "float32")])
    scores.set_weights([np.array([[1, 3]], "float32"), np.zeros(2, "float32")])
    words = np.array([["a", "b"], ["a", ""]], dtype=object)
    chance = 1 / (1 + np.exp(-3 * np.array([1.0, -2.0]))) - 0.5
    expected = [[chance[0], chance[1]], [chance[0], 0]]
    told = explain(model, words, target="B-x").attributions["slots"]["words"]
    np.testing.assert_allclose(told, expected, atol=2e-3)
    second = explain(model, words, target=1, position=1).attributions["slots"]["words"]
    np.testing.assert_allclose(second, [[0, chance[1]], [0, 0]], atol=2e-3)


def test_pieces_of_words_are_named_by_their_tokenizer():
    hub = pytest.importorskip("keras_hub", reason='pip install "keras-mtl[text]"')
    from keras_mtl.encoders._preset import Preset

    keras.utils.set_random_seed(1)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "jazz", "##y", "a"]
    tokenizer = hub.models.BertTokenizer(vocabulary=pieces, lowercase=True)
    backbone = hub.models.BertBackbone(len(pieces), 1, 2, 8, 16, max_sequence_length=16)
    network = Preset("bert_tiny_en_uncased", backbone, tokenizer, words=True)
    model = keras_mtl.build_model(encoders.Pretrained(network), [tasks.Regression("x")])
    words = np.array([["play", "jazzy", ""], ["a", "", ""]], dtype=object)
    found = explain(model, words)
    shown = found.rows.inputs["tokens"].tolist()
    assert shown[0] == ["[CLS]", "play", "jazz", "##y", "[SEP]"]
    assert shown[1][:3] == ["[CLS]", "a", "[SEP]"]
    assert found.attributions["x"]["tokens"].shape == (2, 5)
    change = np.abs(found.attributions["x"]["tokens"].sum(axis=1)).max()
    assert change > 0 and found.completeness_gap["x"] <= 0.02 * change


def test_an_input_without_a_gradient_is_refused_and_one_that_does_nothing_is_not():
    n = keras.Input((), name="n", dtype="int32")
    x = keras.Input((), name="x")
    served = ops.reshape(x + ops.cast(n, "float32"), (-1, 1))
    rows = {"x": np.array([1.0, 2.0]), "n": np.array([1, 5])}
    model = keras_mtl.MultiTaskModel({"x": x, "n": n}, {"t": served})
    with pytest.raises(ValueError, match=r"Input 'n' .int32. is neither floats nor read by an Emb"):
        explain(model, rows)
    idle = keras_mtl.MultiTaskModel({"x": x, "n": n}, {"t": ops.reshape(2 * x, (-1, 1))})
    found = explain(idle, rows)
    assert found.importance == {"x": {"t": pytest.approx(1.0)}, "n": {"t": 0.0}}


def test_one_place_of_an_embedding_that_reads_two_inputs_is_refused():
    inputs = {n: keras.Input((), name=n, dtype="int32") for n in ("i", "j")}
    read = keras.layers.Embedding(9, 1, name="pair")(inputs["i"] + inputs["j"])
    model = keras_mtl.MultiTaskModel(inputs, {"t": read})
    with pytest.raises(ValueError, match=r"'pair' embeds the inputs .* together"):
        explain(model, {"i": np.array([1, 2, 0]), "j": np.array([3, 0, 1])})
