"""A long training takes no more memory at its end than soon after its beginning."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

EPOCHS, STEPS = 20, 250
# MLflow wants to be told that files are meant.
STORE = {"MLFLOW_ALLOW_FILE_STORE": "true"}
PROGRAM = textwrap.dedent(
    """
    import gc, sys
    import keras, numpy as np
    import keras_mtl
    from keras_mtl import callbacks, data, encoders, tasks

    folder, epochs, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4 * steps, 4)).astype("float32")
    rows = data.Examples(
        {"features": x},
        {"price": x[:, 0], "sold": np.where(rng.random(len(x)) < 0.2, -1, x[:, 1] > 0)},
    )
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[8], dropout=0.1),
        [tasks.Regression("price"), tasks.Binary("sold")],
    )
    model.compile("adam", balancer="mgda", on_nonfinite="skip")
    resident = []

    class Weighs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            gc.collect()
            with open("/proc/self/statm") as file:
                resident.append(int(file.read().split()[1]) * 4096 / 2**20)

    model.fit(
        rows.dataset(4, shuffle=True, seed=0),
        validation_data=rows.dataset(64),
        epochs=epochs,
        verbose=0,
        callbacks=[
            callbacks.TensorBoard(f"{folder}/logs", steps=50),
            callbacks.EarlyStopping(["val_price_rmse", "val_sold_auc"], patience=epochs),
            callbacks.RunFolder(f"{folder}/run", data=rows, seed=0),
            callbacks.WandB("memory", dir=folder, mode="offline"),
            callbacks.MLflow("memory", tracking_uri=f"file://{folder}/mlruns"),
            Weighs(),
        ],
    )
    np.save(f"{folder}/resident.npy", resident)
    """
)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_memory_holds_level_over_five_thousand_steps_with_every_callback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(EPOCHS), str(STEPS)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "WANDB_SILENT": "true", **STORE},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    resident = np.load(tmp_path / "resident.npy")
    assert len(resident) == EPOCHS
    early, late = np.median(resident[4:8]), np.median(resident[-4:])
    assert late - early < 16, f"{resident.round(1).tolist()} MiB after each epoch"
