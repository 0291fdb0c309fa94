"""What holds for every scheme that gives each task layers of its own."""

import keras
import numpy as np

import keras_mtl
from keras_mtl import encoders, tasks
from tests.policies import the_policy

NAMES = ["a", "b", "c"]


def connected(scheme, features, names=NAMES):
    """What a scheme makes of an array of features, by task, in NumPy."""
    shared = scheme.connect(features, names)
    return {name: np.asarray(shared[name]) for name in names}


def relu(x):
    return np.maximum(x, 0.0)


def affine(x, layer):
    """What a dense layer makes of `x` before its activation."""
    return x @ np.asarray(layer.kernel) + np.asarray(layer.bias)


def separate(scheme, features):
    """What each tower of a scheme makes by itself, in NumPy."""
    found = []
    for k in range(len(scheme.task_names)):
        hidden = features
        for level in scheme.levels:
            hidden = relu(affine(hidden, level.towers[k]))
        found.append(hidden)
    return dict(zip(scheme.task_names, found, strict=True))


def check_positions(make, rng, shapes=((2, 5, 3), (2, 4, 6, 3))):
    """A sequence and a picture come out as their positions do one by one, in the shapes foretold."""
    for shape in shapes:
        scheme = make()
        x = rng.normal(size=shape).astype("float32")
        out = connected(scheme, x)
        one_by_one = {n: np.asarray(v) for n, v in scheme(x.reshape(-1, 3)).items()}
        for name, foretold in scheme.compute_output_shape((None, *shape[1:])).items():
            assert out[name].shape[1:] == foretold[1:]
            np.testing.assert_allclose(
                out[name], one_by_one[name].reshape(out[name].shape), rtol=1e-4, atol=1e-6
            )


def check_mask(make):
    """Every task's features carry the mask of the features that all share."""
    ids = keras.Input((None,), dtype="int32")
    seen = keras.layers.Embedding(5, 3, mask_zero=True)(ids)
    model = keras.Model(ids, make().connect(seen, NAMES))
    for features in model(np.array([[1, 2, 0]])).values():
        np.testing.assert_array_equal(features._keras_mask, [[True, True, False]])


def check_training(make, path, rng, policy):
    """A compiled step trains every weight it can reach, and the model comes back from the disk."""
    with the_policy(policy):
        x = rng.normal(size=(32, 4)).astype("float32")
        y = {"a": (x[:, 0] > 0).astype(int), "b": x[:, 1]}
        model = keras_mtl.build_model(
            encoders.Dense(4, units=[6]), [tasks.Binary("a"), tasks.Regression("b")], make()
        )
        # Room for half precision, so that no step is left out.
        optimizer = keras.optimizers.Adam(0.01)
        if policy == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)
        model.compile(optimizer, jit_compile=True)
        before = model.get_weights()
        losses = model.fit(x, y, batch_size=16, epochs=3, verbose=0).history["loss"]
        assert np.isfinite(losses).all() and losses[-1] < losses[0]
        assert all(np.isfinite(w).all() for w in model.get_weights())
        assert any((w != v).any() for w, v in zip(model.get_weights(), before, strict=True))
        model.save(path)
        loaded = keras.models.load_model(path)
        again = loaded(x)
        for task, out in model(x).items():
            np.testing.assert_array_equal(out, again[task])
        for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        return model, loaded
