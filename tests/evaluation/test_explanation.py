"""Explanations: who shares what, where trained tasks look, pictures read back, and the door."""

import base64
import io
import json
import xml.etree.ElementTree as ElementTree

import keras
import numpy as np
import pytest
from PIL import Image

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl.evaluation import Explanation, explain

SVG = "{http://www.w3.org/2000/svg}"


def linear(weights):
    """Linear tasks of the given weights of the columns `u`, `v` and `w`."""
    inputs = {n: keras.Input((1,), name=n) for n in ("u", "v", "w")}
    x = keras.layers.Concatenate()(list(inputs.values()))
    layers = {name: keras.layers.Dense(1, use_bias=False, name=name) for name in weights}
    model = keras_mtl.MultiTaskModel(inputs, {name: layer(x) for name, layer in layers.items()})
    for name, of_task in weights.items():
        layers[name].set_weights([np.array(of_task, "float32")[:, None]])
    return model


def columns(rng, n=12):
    """Three columns of the mean deviation 1 each."""
    found = {}
    for name in ("u", "v", "w"):
        x = rng.normal(size=(n, 1))
        x -= x.mean()
        found[name] = (x / np.abs(x).mean()).astype("float32")
    return found


def test_what_two_tasks_share_and_what_one_ignores(rng):
    model = linear({"a": [3.0, 1.0, 0.0], "b": [0.0, 2.0, 2.0], "c": [1.0, 0.0, 0.0]})
    found = explain(model, columns(rng))
    expected = {
        "u[0]": {"a": 0.75, "b": 0.0, "c": 1.0},
        "v[0]": {"a": 0.25, "b": 0.5, "c": 0.0},
        "w[0]": {"a": 0.0, "b": 0.5, "c": 0.0},
    }
    for feature, by_task in expected.items():
        assert found.shares[feature] == pytest.approx(by_task, abs=1e-5)
    assert found.importance["w[0]"]["a"] == 0 and found.importance["u[0]"]["b"] == 0
    assert {f: set(x) for f, x in found.shared.items()} == {"u[0]": {"a", "c"}, "v[0]": {"a", "b"}}
    # (3, 1, 0) against (0, 2, 2) and (1, 0, 0).
    assert found.overlap["a", "b"] == pytest.approx(2 / np.sqrt(10 * 8), abs=1e-5)
    assert found.overlap["a", "c"] == pytest.approx(3 / np.sqrt(10), abs=1e-5)
    assert found.overlap["b", "c"] == 0
    shown = str(found)
    assert "Shared: u[0] (a 75.0 %, c 100.0 %)" in shown and "F(x) - F(baseline)" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["v[0]", "25.0", "%", "50.0", "%", "0.0", "%", "a,", "b"] in rows


def test_groups_add_up_and_are_checked(rng):
    model, x = linear({"a": [3.0, 1.0, 0.0], "b": [0.0, 2.0, 2.0]}), columns(rng)
    found = explain(model, x, groups={"first": ["u", "v[0]"]})
    assert found.importance["first"] == pytest.approx({"a": 4.0, "b": 2.0}, rel=1e-5)
    assert list(found.importance) == ["first", "w[0]"]
    for groups, said in (
        (
            {"g": ["u", "uu[0]"]},
            r"puts 'uu\[0\]' into 'g', but it is no feature; did you mean 'u\[0\]'",
        ),
        ({"g": ["u"], "h": ["u[0]"]}, r"'u\[0\]' into 'h', but it is in a group already"),
        ({"w[0]": ["u"]}, r"group 'w\[0\]' .* a name of its own"),
        ({"g": []}, "expected at least one"),
    ):
        with pytest.raises(ValueError, match=said):
            explain(model, x, groups=groups)


@pytest.fixture(scope="module")
def digits():
    """A model that was trained to read both digits, and test canvases where they do not overlap."""
    keras.utils.set_random_seed(0)
    train, _, test = keras_mtl.datasets.multi_digits(train=1200, valid=8, test=60, shift=8)
    model = keras_mtl.build_model(
        encoders.Dense(256, units=[48], input_name="pixels"),
        [tasks.MultiClass("left", 10), tasks.MultiClass("right", 10)],
    )
    rows = [
        data.Examples({"pixels": p.inputs["image"].reshape(len(p), -1)}, p.labels)
        for p in (train, test)
    ]
    model.compile(keras.optimizers.Adam(0.005))
    model.fit(rows[0].dataset(32, shuffle=True, seed=0), epochs=6, verbose=0)
    image = keras.Input((16, 16, 1), name="image")
    served = model(keras.ops.reshape(image, (-1, 256)))
    kinds = list(model.tasks.values())
    whole = keras_mtl.MultiTaskModel(image, served, tasks=kinds)
    assert min(keras_mtl.evaluate(whole, test)[t]["accuracy"] for t in ("left", "right")) > 0.8
    return whole, test


def quarters(importance, task):
    """Importance by quarter: left digit above left, right digit below right."""
    return {f.removeprefix("image"): x[task] for f, x in importance.items()}


@pytest.mark.parametrize("method", ["integrated_gradients", "permutation"])
def test_each_digits_task_looks_where_its_digit_is(digits, method):
    model, test = digits
    found = explain(model, test, method=method, grid=2, repeats=2)
    for task, mine in (("left", "[0:8, 0:8]"), ("right", "[8:16, 8:16]")):
        by_quarter = quarters(found.importance, task)
        own = by_quarter.pop(mine)
        assert own > 2.5 * sum(by_quarter.values())
    assert found.overlap["left", "right"] < 0.7


def test_pictures_of_pictures_are_read_back(digits, tmp_path):
    model, test = digits
    found = explain(model, test.select(range(3)), steps=8)
    pictures = found.pictures(rows=2)
    assert list(pictures) == [
        "Which features each task uses, as shares of all it uses",
        "How important each feature is to each task",
        "Where tasks look at in image",
    ]
    tree = ElementTree.fromstring(pictures["Where tasks look at in image"])
    pixels = [
        np.array(Image.open(io.BytesIO(base64.b64decode(x.get("href").split(",")[1]))))
        for x in tree.iter(f"{SVG}image")
    ]
    assert [p.shape for p in pixels] == [(16, 16), (16, 16, 3), (16, 16, 3)] * 2
    np.testing.assert_allclose(pixels[0] / 255, test.inputs["image"][0, ..., 0], atol=0.01)
    told = found.attributions["left"]["image"][0, ..., 0]
    strongest = np.unravel_index(np.abs(told).argmax(), told.shape)
    assert pixels[1][strongest].tolist() == (
        [33, 102, 172] if told[strongest] > 0 else [200, 90, 20]
    )
    assert (pixels[1][told == 0] == 255).all()
    files = found.draw(tmp_path / "out")
    assert [f.name for f in files][2] == "Where_tasks_look_at_in_image.svg"
    assert (
        files[0].read_text() == pictures["Which features each task uses, as shares of all it uses"]
    )


@pytest.fixture(scope="module")
def phrases():
    """A model that was trained to know songs by "play" and places by "rome", with its rows."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    words = ["play", "rome", "the", "of", "new", "in"]
    tokens = [list(rng.choice(words, rng.integers(3, 7))) for _ in range(120)]
    labels = {
        "song": np.array([int("play" in row) for row in tokens]),
        "place": [np.array([int(w == "rome") for w in row]) for row in tokens],
    }
    rows = data.Examples({"tokens": tokens}, labels)
    kinds = [tasks.MultiClass("song", ["no", "yes"]), tasks.SequenceTagging("place", ["O", "B-at"])]
    model = keras_mtl.build_model(
        encoders.Text(words, "cnn", units=8, embedding=8, dropout=0.0), kinds
    )
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(rows.dataset(24, shuffle=True, seed=0), epochs=8, verbose=0)
    return model, rows


@pytest.mark.parametrize("method", ["integrated_gradients", "permutation"])
def test_the_word_that_tells_counts_most(phrases, method):
    model, rows = phrases
    target = None if method == "permutation" else {"song": "yes", "place": "B-at"}
    found = explain(
        model, rows.select(range(60)), method=method, target=target, repeats=2, steps=16
    )
    for task, word in (("song", "tokens: play"), ("place", "tokens: rome")):
        by_word = {f: x[task] for f, x in found.shares.items()}
        assert max(by_word, key=by_word.get) == word and by_word[word] > 0.5


def test_words_are_drawn_in_their_order_and_colour(phrases):
    model, rows = phrases
    found = explain(model, rows.select(range(2)), task="song", target="yes", steps=16)
    tree = ElementTree.fromstring(found.pictures()["What the words of tokens add"])
    boxes = [x for x in tree.iter(f"{SVG}rect") if x.get("class") == "word"]
    said = [float(x.find(f"{SVG}title").text) for x in boxes]
    shown = [list(rows.inputs["tokens"][i]) for i in range(2)]
    told = found.attributions["song"]["tokens"]
    expected = [told[i, j] for i in range(2) for j in range(len(shown[i]))]
    np.testing.assert_allclose(said, expected, rtol=0.01, atol=1e-4)
    texts = [x.text for x in tree.iter(f"{SVG}text")]
    assert [t for t in texts if t in {*shown[0], *shown[1]}] == shown[0] + shown[1]
    assert texts.count("song: yes") == 2


def test_it_is_saved_as_json_and_markdown(tmp_path):
    found = Explanation(
        {"age|x": {"a": 3.0, "b": -1.0}, "job": {"a": 1.0, "b": 0.0}},
        "permutation",
        {"age|x": {"a": 0.5, "b": 0.25}, "job": {"a": 0.0, "b": 0.0}},
    )
    told = json.loads(found.to_json(tmp_path / "deep" / "e.json").read_text())
    assert told == found.to_dict()
    assert told["shares"] == {"age|x": {"a": 0.75, "b": 0.0}, "job": {"a": 0.25, "b": 0.0}}
    # Nothing is known of how alike a task is that uses nothing.
    assert told["tasks"] == ["a", "b"]
    assert told["overlap"]["a"] == {"a": pytest.approx(1.0), "b": None}
    lines = found.to_markdown().splitlines()
    assert lines[0] == "| feature | a | b | shared by |"
    assert lines[2] == "| age\\|x | 3.0000 ± 0.5000 | -1.0000 ± 0.2500 |  |"
    bars = ElementTree.fromstring(found.pictures()["How important each feature is to each task"])
    widths = [int(x.get("width")) for x in bars.iter(f"{SVG}rect") if x.get("class") == "bar"]
    assert widths == [300, 100, 100, 1]


def test_bad_arguments_are_told_at_the_door(rng):
    model, x = linear({"a": [3.0, 1.0, 0.0], "b": [0.0, 2.0, 2.0]}), columns(rng)
    for arguments, said in (
        ({"method": "integrated"}, "did you mean 'integrated_gradients'"),
        ({"steps": 0}, "`steps` is 0; expected a positive whole number"),
        ({"grid": 1.5}, "`grid` is 1.5"),
        ({"task": "aa"}, "'aa'.*'a'"),
        ({"task": []}, "`task` is empty"),
        ({"target": 0}, r"`target` is 0, but the tasks \['a', 'b'\] are explained"),
        ({"target": {"b": 3}}, r"`target` of task 'b' is 3; expected one of \['0'\]"),
        ({"target": {"c": 0}}, "'c'"),
        ({"baseline": 1.0}, r"`baseline` must be a dict of some of the inputs \['u', 'v', 'w'\]"),
        ({"baseline": {"u": "x"}}, "`baseline` of input 'u' is <U1 of shape .*; expected finite"),
        ({"baseline": {"u": np.nan}}, "expected finite numbers"),
        ({"baseline": {"u": [1.0, 2.0]}}, r"that fit rows of shape \(12, 1\)"),
        ({"baseline": {"uu": 1.0}}, "'uu'"),
    ):
        with pytest.raises(ValueError, match=said):
            explain(model, x, **arguments)
    with pytest.raises(TypeError, match="`model` is a Functional; expected a MultiTaskModel"):
        explain(keras.Model(model.inputs, model.outputs), x)
    with pytest.raises(TypeError, match=r"`x` came as a .*expected keras_mtl.data.Examples"):
        explain(model, iter([x]))
    with pytest.raises(ValueError, match=r"`x` has no input 'v'; the model reads"):
        explain(model, {"u": x["u"], "w": x["w"]})
    with pytest.raises(ValueError, match="The rows of inputs and labels are"):
        explain(model, {**x, "u": x["u"][:3]})
    with pytest.raises(ValueError, match="Input 'w' holds an infinite number in row 4"):
        explain(model, {**x, "w": np.where(np.arange(12)[:, None] == 4, np.inf, x["w"])})
    with pytest.raises(ValueError, match="Input 'w' came as object; expected float32"):
        explain(model, {**x, "w": np.array([["a"]] * 12)})
    with pytest.raises(ValueError, match="Task 'b' answers row 4 by a number that is not finite"):
        explain(model, {**x, "w": np.where(np.arange(12)[:, None] == 4, np.nan, x["w"])}, task="b")
