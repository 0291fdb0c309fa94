"""One contract for every balancer: a new one is enrolled by its name."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import balancing
from tests.models import compiled, rows

TASKS = ["a", "b", "c"]


@pytest.fixture(params=balancing.names())
def balancer(request):
    made = balancing.get(request.param)
    made.bind(TASKS)
    return made


def joint(balancer, losses, present=None):
    present = np.ones(len(losses), bool) if present is None else np.array(present)
    return float(balancer.joint(ops.convert_to_tensor(losses, "float32"), present))


def test_it_gives_a_finite_number_also_of_hard_losses(balancer):
    for losses in ([1, 2, 3], [0, 0, 0], [1e-8, 1.0, 1e8], [5, 5, 5]):
        assert np.isfinite(joint(balancer, losses))


def test_an_absent_task_takes_no_part(balancer):
    """Whatever stands in its place, the rest counts; with nothing present it is 0."""
    keras.utils.set_random_seed(0)
    with_zero = joint(balancer, [1.0, 0.0, 2.0], [True, False, True])
    assert np.isfinite(with_zero) and with_zero > 0
    assert joint(balancer, [0.0, 0.0, 0.0], [False] * 3) == 0.0


def test_its_config_makes_it_again(balancer):
    again = balancing.get(keras.saving.serialize_keras_object(balancer))
    assert again.get_config() == balancer.get_config()


def test_it_is_for_one_set_of_tasks(balancer):
    with pytest.raises(ValueError, match="make a new one for each model"):
        balancer.bind(["a", "x"])


def test_it_trains_compiled_with_one_task_and_with_labels_missing(balancer):
    x, y = rows(64)
    y["a_kind"][:48] = -1
    model = compiled(
        optimizer=keras.optimizers.Adam(0.01), balancer=type(balancer)(), jit_compile=True
    )
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0]
    assert all(np.isfinite(w).all() for w in model.get_weights())
    alone = model.task_model("a_kind")
    alone.compile("sgd", loss="sparse_categorical_crossentropy", balancer=type(balancer)())
    alone.fit(x[48:], {"a_kind": y["a_kind"][48:]}, verbose=0)


def test_no_two_balancers_are_the_same_method():
    """Equal and static without alphas are one by definition; all others differ on these losses."""
    found = {}
    for name in balancing.names():
        made = balancing.get(name)
        made.bind(TASKS)
        if name == "static":
            made.alphas = {"a": 0.5}
        if name == "dwa":
            made.last.assign([1.0, 2.0, 3.0])
            made.before.assign([2.0, 2.0, 2.0])
        if name == "uncertainty":
            made.log_variances.assign([0.3, 0.0, -0.3])
        found[name] = round(joint(made, [1.0, 2.0, 4.0]), 6)
    assert len(set(found.values())) == len(found)
