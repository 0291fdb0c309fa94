"""What TensorFlow alone answers from a SavedModel, without keras_mtl and KerasHub."""

import subprocess
import sys
import textwrap

import numpy as np

from keras_mtl import export

SERVED = """
    import sys
    sys.modules["keras_mtl"] = sys.modules["keras_hub"] = None
    import numpy as np
    import tensorflow as tf
    if "tokens" in sys.argv[2]:
        import tensorflow_text  # the operations that cut words, which TensorFlow Serving has built in

    given = dict(np.load(sys.argv[2]))
    served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
    answers = served(**{name: tf.constant(value) for name, value in given.items()})
    np.savez(sys.argv[3], **{name: answer.numpy() for name, answer in answers.items()})
"""


def assert_served(model, rows, folder):
    """TensorFlow alone reads the SavedModel and answers from raw data what the model does."""
    path = export.saved_model(model, folder / "model")
    given, found = folder / f"{next(iter(rows))}.npz", folder / "answers.npz"
    np.savez(given, **rows)
    command = [sys.executable, "-c", textwrap.dedent(SERVED), str(path), str(given), str(found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = np.load(found)
    for name, answer in model.predict(rows, verbose=0).items():
        np.testing.assert_allclose(answers[name], answer, rtol=1e-4, atol=1e-5)
