"""Tasks in sequence: what a yes that presupposes another is served, learns and refuses."""

import itertools
from decimal import Decimal, getcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import _config_file, _run, balancing, data, encoders, sharing, tasks
from keras_mtl.tasks._at_most import mean_excess
from keras_mtl.tasks._given import log_odds_of_both
from tests.policies import the_policy


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


def cross_entropy(labels, p):
    """The mean over the labels that are there."""
    there = ~np.isnan(labels)
    y, p = labels[there], p[there]
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def rows(rng, n=48):
    """Clicks, and purchases of those who clicked; labels over all rows."""
    x = rng.normal(size=(n, 4)).astype("float32")
    click = (x[:, 0] + 0.5 * rng.normal(size=n) > 0).astype("float32")
    return x, {"click": click, "sold": click * (x[:, 1] > -0.5)}


def built(kinds=None, **kwargs):
    kinds = kinds or [tasks.Binary("click"), tasks.Binary("sold", given="click")]
    return keras_mtl.build_model(encoders.Dense(4, units=[6]), kinds, **kwargs)


def own_scores(model, x, task):
    """What a head's own layer makes of the features, in NumPy."""
    kernel, bias = (np.asarray(v) for v in model.get_layer("dense_encoder").weights)
    hidden = np.maximum(x @ kernel + bias, 0)
    layer = model.get_layer(f"{task}_scores")
    return (hidden @ np.asarray(layer.kernel) + np.asarray(layer.bias)).astype("float64")


def fit_steps(model, x, y, steps):
    """So many steps on all rows."""
    model.fit(tf.data.Dataset.from_tensors((x, y)).repeat(steps), verbose=0)


# The chance of both.


def test_two_even_chances_are_a_quarter():
    np.testing.assert_allclose(log_odds_of_both(0.0, 0.0), np.log(1 / 3), rtol=1e-6)
    a, b = np.linspace(-4, 4, 9)[:, None], np.linspace(-3, 3, 7)[None]
    a, b = np.broadcast_arrays(a, b)
    got = log_odds_of_both(a.astype("float32"), b.astype("float32"))
    np.testing.assert_allclose(sigmoid(got), sigmoid(a) * sigmoid(b), rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_extreme_scores_and_their_gradients_are_exact(compiled):
    """Against 100 digits: with s = sigmoid(a), t = sigmoid(b), dl/da = (1 - s) / (1 - s t)."""
    getcontext().prec = 100
    pairs = list(itertools.product([-80.0, -20.0, 0.0, 20.0, 80.0], repeat=2))
    a, b = (tf.constant(column, "float32") for column in zip(*pairs, strict=True))

    @tf.function(jit_compile=compiled)
    def both(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            scores = log_odds_of_both(a, b)
        return scores, tape.gradient(scores, [a, b])

    scores, (by_a, by_b) = both(a, b)
    for i, pair in enumerate(pairs):
        s, t = (1 / (1 + Decimal(-v).exp()) for v in pair)
        expected = (s * t / (1 - s * t)).ln()
        assert float(scores[i]) == pytest.approx(float(expected), rel=1e-5, abs=1e-7), pair
        assert float(by_a[i]) == pytest.approx(float((1 - s) / (1 - s * t)), rel=1e-4), pair
        assert float(by_b[i]) == pytest.approx(float((1 - t) / (1 - s * t)), rel=1e-4), pair


# In a model.


def test_what_is_served_is_the_product_and_what_is_trained_its_cross_entropy(rng):
    """Labels may be missing in either task; a purchase whose click is not known counts."""
    x, y = rows(rng)
    y["click"][:20], y["sold"][10:30] = np.nan, np.nan
    model = built()
    click, conditional = (sigmoid(own_scores(model, x, n)) for n in ("click", "sold"))
    served = model.predict(x, verbose=0)
    np.testing.assert_allclose(served["click"], click, rtol=1e-5)
    np.testing.assert_allclose(served["sold"], click * conditional, rtol=1e-5)
    np.testing.assert_allclose(served["sold"] / served["click"], conditional, rtol=1e-4)
    model.compile("sgd")
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["click_loss"] == pytest.approx(cross_entropy(y["click"], click[:, 0]), rel=1e-5)
    product = (click * conditional)[:, 0]
    assert found["sold_loss"] == pytest.approx(cross_entropy(y["sold"], product), rel=1e-5)
    judged = keras_mtl.evaluate(model, x, y)
    assert judged.counts["click"] == 28 and judged.counts["sold"] == 28


def test_what_comes_first_learns_from_what_follows(rng):
    """Without a single click label the layers of "click" learn, of purchases."""
    x, y = rows(rng)
    model = built()
    before = np.array(model.get_layer("click_scores").kernel)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(x, {"sold": y["sold"]}, verbose=0)
    assert np.abs(np.array(model.get_layer("click_scores").kernel) - before).min() > 0


def test_the_conditional_of_a_known_world_is_found():
    """Of 100 rows of each kind: 40 clicks and 10 purchases; 20 clicks and 15 purchases."""
    counts = {0: (40, 10), 1: (20, 15)}
    x = np.repeat(np.eye(2, dtype="float32"), 100, axis=0)
    click, sold = (
        np.concatenate([np.arange(100) < counts[kind][i] for kind in (0, 1)]).astype("float32")
        for i in (0, 1)
    )
    model = keras_mtl.build_model(
        keras.layers.Identity(),
        [tasks.Binary("sold", given="click"), tasks.Binary("click")],
        inputs=keras.Input((2,), name="kind"),
    )
    model.compile(keras.optimizers.Adam(0.1))
    fit_steps(model, x, {"click": click, "sold": sold}, 250)
    served = {n: p[:, 0] for n, p in model.predict(np.eye(2), verbose=0).items()}
    np.testing.assert_allclose(served["click"], [0.4, 0.2], atol=2e-3)
    np.testing.assert_allclose(served["sold"] / served["click"], [0.25, 0.75], atol=5e-3)


CHAIN = {
    "click": lambda: tasks.Binary("click"),
    "cart": lambda: tasks.Binary("cart", given="click"),
    "sold": lambda: tasks.Binary("sold", given="cart", tower=[3]),
}


def test_a_chain_of_three_in_whatever_order_it_is_listed(rng):
    x = rng.normal(size=(8, 4)).astype("float32")
    first, expected = None, None
    for names in itertools.permutations(CHAIN):
        model = built([CHAIN[name]() for name in names])
        assert model.task_names == list(names) == list(model.output)
        first = first or {v.path: np.array(v) for v in model.weights}
        for variable in model.weights:
            variable.assign(first[variable.path])
        served = model.predict(x, verbose=0)
        expected = expected or served
        for name in names:
            np.testing.assert_array_equal(served[name], expected[name])
        assert (served["sold"] < served["cart"]).all() and (served["cart"] < served["click"]).all()
    scores = {name: sigmoid(own_scores(model, x, name)) for name in ("click", "cart")}
    np.testing.assert_allclose(served["cart"], scores["click"] * scores["cart"], rtol=1e-5)
    hidden = model.get_layer("sold_dense_0")
    alone = keras.Model(model.inputs, model.get_layer("sold_scores")(hidden.output))
    conditional = sigmoid(alone.predict(x, verbose=0))
    np.testing.assert_allclose(served["sold"], served["cart"] * conditional, rtol=1e-5)


def test_groups_apart_are_multiplied_all_the_same(rng):
    x, y = rows(rng)
    model = built(groups=[["sold"], ["click"]])
    assert not {v.path for v in model.task_variables("sold")} & {
        v.path for v in model.shared_variables()
    }
    encoder = next(x for x in model.layers if x.name == "dense_encoder_2")
    before = [np.array(v) for v in encoder.weights]
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(x, {"sold": y["sold"]}, verbose=0)
    for old, new in zip(before, encoder.weights, strict=True):
        assert (np.array(new) != old).any(), "purchases teach the encoder of clicks"
    served = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        model.task_model("sold").predict(x, verbose=0)["sold"], served["sold"], rtol=1e-6
    )


# With all the rest.


@pytest.mark.parametrize(
    ("link", "scheme", "policy", "balancer"),
    [
        ({"given": "click"}, "hard", "float32", "cagrad"),
        ({"given": "click"}, "aitm", "mixed_float16", None),
        ({"at_most": {"click": 0.6}}, "hard", "mixed_float16", "uncertainty"),
    ],
)
def test_it_trains_compiled_and_comes_back(link, scheme, policy, balancer, tmp_path, rng):
    x, y = rows(rng)
    y["click"][::5] = np.nan
    with the_policy(policy):
        model = built([tasks.Binary("sold", **link), tasks.Binary("click")], sharing=scheme)
        optimizer = keras.optimizers.Adam(0.01)
        if policy == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)
        model.compile(optimizer, balancer=balancer, jit_compile=True)
        losses = model.fit(x, y, batch_size=24, epochs=4, verbose=0).history["loss"]
        assert np.isfinite(losses).all() and losses[-1] < losses[0]
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.tasks["sold"].get_config() == model.tasks["sold"].get_config()
    served = model.predict(x, verbose=0)
    for name, again in loaded.predict(x, verbose=0).items():
        np.testing.assert_array_equal(again, served[name])
    in_a_graph = tf.function(loaded, jit_compile=True)(x)
    for name, out in served.items():
        assert out.dtype == np.float32
        np.testing.assert_allclose(in_a_graph[name], out, rtol=2e-3)
    if "given" in link:
        assert (served["sold"] <= served["click"]).all()


def test_half_precision_does_not_round_small_chances_away(rng):
    """exp(-20) twice is 4e-18, below what float16 can hold."""
    with the_policy("mixed_float16"):
        model = built()
    for name in ("click", "sold"):
        layer = model.get_layer(f"{name}_scores")
        layer.kernel.assign(0 * layer.kernel)
        layer.bias.assign([-20.0])
    served = model.predict(rng.normal(size=(2, 4)), verbose=0)["sold"]
    np.testing.assert_allclose(served, np.exp(-40.0), rtol=1e-5)


@pytest.mark.parametrize("link", [{"given": "click"}, {"at_most": {"click": 0.6}}])
def test_scores_of_another_head_are_no_features(link, rng):
    """Features are what both heads stand on; a head that another reads is still its task's own."""
    x, y = rows(rng)
    kinds = [tasks.Binary("click", tower=[3]), tasks.Binary("sold", **link)]
    model = built(kinds)
    model.compile("sgd", balancer=balancing.MGDA(gradients="features"))
    model.fit(x, y, verbose=0)
    for start in (model, model.task_model("sold")):
        new = start.new_task(tasks.Regression("size"))
        assert [layer.name for layer in new.layers][-3:] == ["dense_encoder", "size_scores", "size"]
    plain = built(
        [tasks.Binary("click", tower=[6]), tasks.Binary("sold", tower=[6], **link)],
        sharing=sharing.Covariance(units=()),
    )
    assert plain.get_layer("covariance").head_kernels().shape == (2, 6, 1)


class Plain(balancing.GramianBalancer):
    """One of each gradient."""

    def task_weights(self, gramian, losses, present):
        return present


def test_features_are_balanced_where_both_heads_begin(rng):
    """One of each feature's gradient is the plain sum, whatever heads read of each other."""
    x, y = rows(rng)
    ends = []
    for balancer in (None, Plain("features")):
        keras.utils.set_random_seed(0)
        model = built()
        model.compile(keras.optimizers.SGD(0.5), balancer=balancer)
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
        ends.append([np.array(v) for v in model.trainable_variables])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


# The calibrator.


def test_mean_excess_by_hand():
    """Chances .8 over .5, .5 over .8, and even: a tenth of .3, nothing, nothing, over three rows."""
    later, earlier = (
        np.log(p / (1 - p)) for p in (np.array([0.8, 0.5, 0.4]), np.array([0.5, 0.8, 0.4]))
    )
    np.testing.assert_allclose(mean_excess(later, earlier), 0.3 / 3, rtol=1e-6)


def test_the_calibrator_adds_its_penalty_over_all_rows_in_training(rng):
    x, y = rows(rng)
    y["click"][:40], y["sold"][20:] = np.nan, np.nan
    kinds = [
        tasks.Binary("sold", at_most={"click": 0.6, "seen": 2.0}),
        tasks.Binary("click"),
        tasks.Binary("seen"),
    ]
    model = built(kinds)
    y["seen"] = np.full(len(x), np.nan)
    y["seen"][0] = 1
    model.compile(keras.optimizers.SGD(0.0))
    p = {name: sigmoid(own_scores(model, x, name)) for name in model.task_names}
    served = model.predict(x, verbose=0)
    for name in p:
        np.testing.assert_allclose(served[name], p[name], rtol=1e-5, err_msg="passed on as it is")
    plain = sum(cross_entropy(y[name], p[name][:, 0]) for name in p)
    excess = {n: np.maximum(p["sold"] - p[n], 0).mean() for n in ("click", "seen")}
    assert min(excess.values()) > 0
    logs = model.fit(x, y, batch_size=48, verbose=0).history
    whole = plain + 0.6 * excess["click"] + 2.0 * excess["seen"]
    assert logs["loss"][0] == pytest.approx(whole, rel=1e-5)
    assert logs["sold_loss"][0] == pytest.approx(
        cross_entropy(y["sold"], p["sold"][:, 0]), rel=1e-5
    )
    judged = model.evaluate(x, y, batch_size=48, verbose=0, return_dict=True)
    assert judged["loss"] == pytest.approx(plain, rel=1e-5), "what is judged is not penalised"


def test_the_calibrator_draws_both_chances_to_each_other(rng):
    """Purchases are common and clicks rare among the labels that are there: left alone, they contradict."""
    x = np.ones((64, 4), "float32")
    y = {"click": np.full(64, np.nan), "sold": np.full(64, np.nan)}
    y["click"][:32], y["sold"][32:] = np.arange(32) < 8, np.arange(32) < 24
    ends = {}
    for strength in (0.0, 5.0):
        keras.utils.set_random_seed(0)
        at_most = {"click": strength} if strength else None
        model = built([tasks.Binary("click"), tasks.Binary("sold", at_most=at_most)])
        model.compile(keras.optimizers.Adam(0.05))
        fit_steps(model, x, y, 200)
        ends[strength] = {n: float(p[0, 0]) for n, p in model.predict(x[:1], verbose=0).items()}
    assert ends[0.0] == pytest.approx({"click": 0.25, "sold": 0.75}, abs=0.02)
    # Alike and with the sum of both losses least: as many yes as no.
    assert ends[5.0] == pytest.approx({"click": 0.5, "sold": 0.5}, abs=0.05)


# What cannot be.


def number(name):
    return tasks.Regression(name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda b: [b("sold", given="clik"), b("click")], "'sold' .* 'clik'.*mean 'click'"),
        (lambda b: [b("sold", at_most={"view": 1}), b("click")], r"'view', but .*\['sold', 'click'\]"),
        (lambda b: [b("sold", given="sold")], "'sold' names itself"),
        (lambda b: [b("sold", given="price"), number("price")], "'price', which is a Regression"),
        (lambda b: [b("z", given="a"), b("a", given="b"), b("b", given="a")], "'a' -> 'b' -> 'a'"),
        (lambda b: [b("a", at_most={"b": 1}), b("b", given="a")], "'a' -> 'b' -> 'a'"),
        (lambda b: [b("a", given="b", at_most={"b": 1}), b("b")], "expected one of them"),
        (lambda b: [b("a", at_most={"b": 0}), b("b")], "positive numbers"),
        (lambda b: [b("a", at_most={"b": float("nan")}), b("b")], "positive numbers"),
        (lambda b: [b("a", at_most="b"), b("b")], "positive numbers"),
        (lambda b: [b("a", given=""), b("b")], "a letter first"),
    ],
)  # fmt: skip
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        built(make(tasks.Binary))


def test_a_head_by_itself_asks_for_the_scores_that_it_reads():
    hidden = keras.Input((3,), name="x")
    click, sold = tasks.Binary("click"), tasks.Binary("sold", given="click")
    with pytest.raises(ValueError, match=r"reads the scores of \['click'\], which it did not get"):
        sold.head(hidden)
    scores = click.raw_scores(hidden)
    outputs = {
        "click": tasks.Prediction(click)(scores),
        "sold": sold.head(hidden, {"click": scores}),
    }
    model = keras_mtl.MultiTaskModel(hidden, outputs)
    served = model.predict(np.zeros((1, 3)), verbose=0)
    assert served["sold"][0, 0] == pytest.approx(0.25) and served["click"][0, 0] == 0.5


def test_a_yaml_file_may_say_so(tmp_path):
    path = tmp_path / "run.yaml"
    said = (
        "data: {kind: csv, train: rows.csv, labels: {click: click, sold: sold, seen: seen}}\n"
        "encoder: {kind: dense}\n"
        "tasks:\n"
        "  - {name: sold, kind: binary, given: click}\n"
        "  - {name: click, kind: binary, at_most: {seen: 0.6}}\n"
        "  - {name: seen, kind: binary}\n"
    )
    path.write_text(said)
    sold, click, _ = _config_file.read_config(path).tasks
    assert sold.given == "click" and click.at_most == {"seen": 0.6} and click.given is None
    few = data.Examples({"x": np.zeros((2, 3), "float32")}, {"sold": np.zeros(2)}, {})
    alone = _run.make_model(_config_file.read_config(path), few, ["sold"])
    assert alone.task_names == ["sold"] and alone.tasks["sold"].given is None
    both = _run.make_model(_config_file.read_config(path), few, ["sold", "click"])
    assert both.tasks["sold"].given == "click" and both.tasks["click"].at_most == {}
    path.write_text(said.replace("given: click", "given: clik"))
    with pytest.raises(
        ValueError, match=r"run\.yaml:4: tasks\.0\.given: .*'clik'; did you mean 'click'"
    ):
        _config_file.read_config(path)
    path.write_text(said.replace("{seen: 0.6}", "{sen: 0.6}"))
    with pytest.raises(ValueError, match=r"run\.yaml:5: tasks\.1\.at_most: .*did you mean 'seen'"):
        _config_file.read_config(path)
    path.write_text(said.replace("seen: 0.6", "seen: -1"))
    with pytest.raises(ValueError, match=r"run\.yaml:5: .*greater than 0"):
        _config_file.read_config(path)
    assert tasks.Binary("sold", given="click").describe() == {"given": "click"}, "beside the export"
