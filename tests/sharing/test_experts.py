"""What holds for every mixture of experts: gates, positions, masks, precision, training, the disk."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.sharing._experts import softmax
from keras_mtl.sharing._gated import mean_over_positions
from keras_mtl.sharing.cgc import CGC
from keras_mtl.sharing.dselect_k import DSelectK
from keras_mtl.sharing.mmoe import MMoE
from keras_mtl.sharing.ple import PLE
from keras_mtl.sharing.sparse_moe import SparseMoE
from tests.sharing._scheme_checks import NAMES, check_mask, connected

# Schemes of 2 layers and how many gates a task has.
SCHEMES = {
    "mmoe": (lambda **of: MMoE(3, units=(6, 5), **of), 3),
    "cgc": (lambda **of: CGC(1, 2, units=(6, 5), **of), 3),
    "ple": (lambda **of: PLE(2, 2, 1, units=(6, 5), **of), 3),
    "dselect_k": (lambda **of: DSelectK(5, 2, units=(6, 5), **of), 5),
    "dselect_k_static": (lambda **of: DSelectK(4, 2, units=(6, 5), static=True, **of), 4),
    "sparse_moe": (lambda **of: SparseMoE(4, 2, units=(6, 5), noisy=True, **of), 4),
}
BY_DEFAULT = [MMoE, CGC, PLE, DSelectK, SparseMoE]
each = pytest.mark.parametrize("name", SCHEMES)


@each
@pytest.mark.parametrize("shape", [(7, 4), (2, 5, 4), (2, 3, 2, 4)])
def test_gates_of_every_row_and_position_sum_to_one(name, shape, rng):
    make, experts = SCHEMES[name]
    scheme = make()
    x = rng.normal(size=shape).astype("float32")
    out = connected(scheme, x)
    gates = scheme.gates(x)
    assert list(gates) == NAMES
    for task in NAMES:
        assert out[task].shape == (*shape[:-1], 5)
        assert gates[task].shape == (*shape[:-1], experts)
        assert np.min(gates[task]) >= 0
        np.testing.assert_allclose(np.sum(gates[task], axis=-1), 1, rtol=1e-5)
    assert scheme.compute_output_shape((None, *shape[1:])) == dict.fromkeys(
        NAMES, (None, *shape[1:-1], 5)
    )


@each
@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 3, 2, 4)])
def test_a_position_comes_out_as_a_row_would(name, shape, rng):
    positions, rows = SCHEMES[name][0](), SCHEMES[name][0]()
    x = rng.normal(size=shape).astype("float32")
    connected(positions, x), connected(rows, x.reshape(-1, 4))
    rows.set_weights(positions.get_weights())
    one_by_one = connected(rows, x.reshape(-1, 4))
    for task, out in connected(positions, x).items():
        np.testing.assert_allclose(out.reshape(-1, 5), one_by_one[task], rtol=1e-4, atol=1e-6)


@each
def test_masks_pass_on(name):
    check_mask(SCHEMES[name][0])


@pytest.mark.parametrize("scheme", BY_DEFAULT)
def test_defaults_serve_one_task_and_the_config_comes_back(scheme, rng):
    x = rng.normal(size=(3, 4)).astype("float32")
    made = scheme()
    assert connected(made, x, ["only"])["only"].shape == (3, 64)
    again = scheme.from_config(made.get_config())
    assert again.get_config() == made.get_config()


@each
def test_a_compiled_step_lowers_the_loss_and_the_disk_keeps_the_model(name, tmp_path, rng):
    x = rng.normal(size=(16, 4)).astype("float32")
    y = {"a": np.ones((16, 5)), "b": -np.ones((16, 5))}
    inputs = keras.Input((4,))
    scheme = SCHEMES[name][0](activation="tanh")
    model = keras.Model(inputs, scheme.connect(inputs, ["a", "b"]))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=True)
    first, *_, last = (model.train_on_batch(x, y)[0] for _ in range(10))
    assert np.isfinite(last) and last < first
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for task, out in model(x).items():
        np.testing.assert_array_equal(out, loaded(x)[task])


@each
def test_half_precision_is_finite_and_its_gates_are_whole(name, rng):
    scheme = SCHEMES[name][0](dtype="mixed_float16")
    x = (30 * rng.normal(size=(16, 4))).astype("float16")
    features = scheme.connect(x, NAMES)
    for out in (features, scheme(x, training=True)):
        for task in NAMES:
            assert out[task].dtype == "float16"
            assert np.isfinite(out[task]).all()
    assert all(loss.dtype == "float32" and np.isfinite(loss) for loss in scheme.losses)
    for gates in scheme.gates(x).values():
        assert gates.dtype == "float32"
        np.testing.assert_allclose(np.sum(gates, axis=-1), 1, rtol=1e-5)


@each
def test_each_expert_starts_as_a_dense_layer_alone_and_like_no_other(name, rng):
    scheme = SCHEMES[name][0]()
    scheme.connect(keras.Input((4,)), NAMES)
    kernels = [v for v in scheme.weights if "dense_" in v.path and v.name == "kernel"]
    assert len(kernels) % 2 == 0
    for kernel in kernels:
        single = np.asarray(kernel).reshape(-1, *kernel.shape[-2:])
        bound = np.sqrt(6 / sum(kernel.shape[-2:]))
        assert 0.8 * bound < np.abs(single).max() <= bound
        assert len({one.tobytes() for one in single}) == len(single)


@each
def test_what_a_single_task_reads_is_reached_by_its_loss_alone(name, rng):
    """Balancers take a variable for shared that two losses reach: the experts, but no gate."""
    scheme = SCHEMES[name][0](activation="tanh")
    x = rng.normal(size=(16, 4)).astype("float32")
    connected(scheme, x, ["a", "b"])
    values = scheme.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        losses = [tf.reduce_sum(out) for out in scheme(x).values()]
    reached = {
        v.path.split("/", 1)[1]: sum(tape.gradient(loss, v.value) is not None for loss in losses)
        for v in values
    }
    for path, count in reached.items():
        single = any(part in path for part in ("gates/", "noise/", "selectors_", "specific_"))
        # The shared gate of the first of two levels reads all that is there.
        below = name == "ple" and path.startswith("level_0") and "gates/" not in path
        assert count == (0 if "noise/" in path else 2 if below or not single else 1), path


def test_seeds_of_the_program_make_it_again():
    def kernels():
        keras.utils.set_random_seed(3)
        made = PLE()
        made.connect(keras.Input((4,)), NAMES)
        return made.get_weights()

    for one, other in zip(kernels(), kernels(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_means_leave_padding_out():
    values = np.arange(12, dtype="float32").reshape(2, 3, 2)
    values[1, 2] = np.nan
    mask = np.array([[True, False, False], [True, True, False]])
    expected = [(0 + 6 + 8) / 3, (1 + 7 + 9) / 3]
    np.testing.assert_allclose(mean_over_positions(values, mask), expected, rtol=1e-6)
    np.testing.assert_allclose(mean_over_positions(values[0]), [2, 3])


def test_shares_of_large_logits_are_finite():
    np.testing.assert_allclose(softmax(np.array([1e4, 1e4, -1e4], "float32")), [0.5, 0.5, 0])
    assert float(softmax(np.array([[-7.3]], "float32"))[0, 0]) == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MMoE(0), r"`experts` of sharing.MMoE is 0; expected a whole number of at least 1"),
        (lambda: DSelectK(2.5), r"`experts` of sharing.DSelectK is 2.5"),
        (lambda: MMoE(units=()), r"`units` of sharing.MMoE is empty; expected the width"),
        (lambda: MMoE(units=(8, 0)), r"`units` of sharing.MMoE is 0"),
        (lambda: MMoE(activation="rely"), r"rely"),
        (lambda: CGC(shared=0), r"`shared` of sharing.CGC is 0"),
        (lambda: CGC(specific=-1), r"`specific` of sharing.CGC is -1"),
        (lambda: PLE(levels=0), r"`levels` of sharing.PLE is 0"),
        (lambda: PLE(units=[]), r"`units` of sharing.PLE is empty"),
        (lambda: DSelectK(k=5), r"`k` of sharing.DSelectK is 5, but there are 4 experts; give a sm"),
        (lambda: SparseMoE(2, k=3), r"`k` of sharing.SparseMoE is 3, but there are 2 experts"),
        (lambda: SparseMoE(k=0), r"`k` of sharing.SparseMoE is 0"),
        (lambda: DSelectK(entropy=-1.0), r"`entropy` of sharing.DSelectK is -1.0"),
        (lambda: SparseMoE(balance=-0.1), r"`balance` of sharing.SparseMoE is -0.1"),
        (lambda: MMoE().gates(np.zeros((1, 2))), r"before it is part of a model; give it to `build_m"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_answered(make, message):
    with pytest.raises(ValueError, match=message):
        make()
