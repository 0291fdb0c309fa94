"""One contract for every alignment: distances, what is compared, and how layers are made and saved."""

import keras
import numpy as np
import pytest

from keras_mtl._domains import telling
from keras_mtl.alignment.adversarial import Adversarial
from keras_mtl.alignment.coral import CORAL
from tests.alignment._samples import DISTANCES, DOMAINS, METHODS, batch, layer, samples


@pytest.mark.parametrize("method", DISTANCES)
def test_distances(method):
    distance = DISTANCES[method]
    x, y = samples(12, 12)
    if method == "mmd unbiased":
        assert float(distance(x, x.copy())) < 0 < float(distance(x, x + 1))
    elif method != "info_nce":
        assert abs(float(distance(x, x.copy()))) < 2e-5
        near, far = (float(distance(x, x + np.float32(s) * x[::-1].std(0) ** 2)) for s in (0.5, 2))
        assert method == "coral" or 0 < near < far
        assert float(distance(x, 2 * x)) < float(distance(x, 4 * x)) or method == "divergence"
    # Rows with a weight of 0 may hold anything.
    there = np.array([1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1], "float32")
    moved = np.where(there[:, None] > 0, x, 9).astype("float32")
    expected = float(distance(x[there > 0], y[there > 0]))
    assert float(distance(moved, y, there, there)) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    one = np.eye(12, dtype="float32")[0]
    assert float(distance(x, y, one, None)) == 0 == float(distance(x, y, None, 0 * one))


def test_more_than_eight_domains_are_each_compared_with_all_the_others(rng):
    features = rng.normal(size=(40, 3)).astype("float32")
    domains = np.append(np.arange(36) % 9, [-1] * 4).astype("int32")
    others = [domains != d for d in range(9)]
    expected = np.mean(
        [
            float(DISTANCES["coral"](features[domains == d], features[others[d] & (domains >= 0)]))
            for d in range(9)
        ]
    )
    found = float(CORAL(domains=9).penalty(features, domains))
    assert found == pytest.approx(expected, rel=1e-4)
    # A domain of one row, and one of none, are left out of the mean.
    few = np.where(domains >= 2, -1, domains)
    few[2] = 5
    pair = DISTANCES["coral"](features[few == 0], features[(few == 1) | (few == 5)])
    back = DISTANCES["coral"](features[few == 1], features[(few == 0) | (few == 5)])
    found = float(CORAL(domains=9).penalty(features, few))
    assert found == pytest.approx((float(pair) + float(back)) / 2, rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_is_added_where_domains_are_told_in_training_alone(method):
    made = layer(method)
    features, domains = batch()
    made(features, training=True)
    assert not made.losses
    with telling({"site": domains}):
        made(features, training=False)
        assert not made.losses
        made(features)
        assert not made.losses
    with telling({"another": domains}):
        made(features, training=True)
        assert not made.losses


@pytest.mark.parametrize("method", METHODS)
def test_config_round_trip(method):
    made = layer(method)
    again = type(made).from_config(made.get_config())
    assert again.get_config() == made.get_config()
    options = {"domains": DOMAINS, "weight": 2.0, "domain": "site", **METHODS[method][1]}
    assert {k: again.get_config()[k] for k in options} == options


@pytest.mark.parametrize("method", METHODS)
def test_it_survives_the_disk_inside_a_model(method, tmp_path):
    cls, options = METHODS[method]
    inputs = keras.Input((6, 4))
    aligned = cls(domains=2, domain="site", **options)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(aligned))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.layers[1].get_config() == model.layers[1].get_config()
    for kept, found in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, found)


@pytest.mark.parametrize("cls", sorted({cls for cls, _ in METHODS.values()}, key=str))
def test_what_is_no_number_of_domains(cls):
    for domains in (1, 0, 2.5, True):
        with pytest.raises(ValueError, match=f"`domains` of alignment.{cls.__name__} is"):
            cls(domains=domains)
    with pytest.raises(ValueError, match="`weight`"):
        cls(domains=2, weight=-1)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("mmd", {"estimate": "exact"}, "`estimate` of alignment.MMD is 'exact'; expected one of"),
        ("mmd", {"bandwidth": "max"}, "`bandwidth` of alignment.MMD"),
        ("mmd", {"factors": []}, "`factors` of alignment.MMD"),
        ("mmd", {"factors": [1, 0]}, "`factors` of alignment.MMD"),
        ("joint_mmd", {"widths": [2, 0]}, "`widths` of alignment.JointMMD"),
        ("gaussian_kl", {"form": "jeffreys"}, "`form` of alignment.GaussianKL"),
        ("gaussian_kl", {"covariances": "tied"}, "`covariances` of alignment.GaussianKL"),
        ("gaussian_kl", {"ridge": 0.0}, "`ridge` of alignment.GaussianKL"),
        ("divergence", {"form": "tv"}, "`form` of alignment.Divergence"),
        ("wasserstein", {"estimate": "exact"}, "`estimate` of alignment.Wasserstein"),
        ("wasserstein", {"projections": 0}, "`projections` of alignment.Wasserstein"),
        ("wasserstein", {"epsilon": 0.0}, "`epsilon` of alignment.Wasserstein"),
        ("wasserstein", {"iterations": 0}, "`iterations` of alignment.Wasserstein"),
        ("info_nce", {"temperature": 0.0}, "`temperature` of alignment.InfoNCE"),
        ("adversarial", {"units": [0]}, "`units` of alignment.Adversarial"),
        ("adversarial", {"steps": -1}, "`steps` of alignment.Adversarial"),
    ],
)
def test_wrong_arguments_are_named(method, options, message):
    with pytest.raises(ValueError, match=message):
        METHODS[method][0](domains=2, **options)


def test_a_model_that_trains_with_an_adversary_saves_its_progress(tmp_path):
    inputs = keras.Input((4,))
    outputs = Adversarial(domains=2, units=[], steps=4, domain="site")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(outputs))
    model.compile("sgd", "mse")
    features, domains = batch()
    with telling({"site": domains}):
        for _ in range(3):
            model(features, training=True)
    model.save(tmp_path / "m.keras")
    assert int(keras.models.load_model(tmp_path / "m.keras").layers[1].done) == 3
