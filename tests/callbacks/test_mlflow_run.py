"""Runs in MLflow's own file store, read back by its client."""

import json

import keras
import numpy as np
import pytest

from keras_mtl.callbacks import MLflow
from tests.callbacks._tracked import expected, fitted, model_of_two, rows

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return f"file:{tmp_path_factory.mktemp('mlflow') / 'runs'}"


@pytest.fixture(scope="module")
def tracked(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    (folder / "report.html").write_text("<p>good</p>")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.svg").write_text("<svg/>")
    callback = MLflow(
        "digits",
        name="first",
        tracking_uri=store,
        config={"data": {"rows": 16}, "long": "x" * 9000},
        artifacts=["model", folder / "report.html", folder / "figures"],
        tags={"team": "speech"},
    )
    model, history, weights = fitted([callback])
    client = mlflow.MlflowClient(tracking_uri=store)
    return callback, model, history, weights, client, client.get_run(callback.run_id)


def curve(client, run, key):
    return {m.step: m.value for m in client.get_metric_history(run.info.run_id, key)}


def test_curves_are_those_of_the_history_by_task(tracked):
    _, _, history, weights, client, run = tracked
    told = expected(history, weights)
    for key, values in told.items():
        assert curve(client, run, key) == pytest.approx(dict(enumerate(values)), rel=1e-5), key
    assert set(run.data.metrics) == set(told)
    assert weights[0] != weights[1], "the balancer's weights of each epoch are its own"


def test_parameters_and_tags_tell_the_model_and_the_configuration(tracked):
    *_, client, run = tracked
    assert run.info.status == "FINISHED" and run.info.run_name == "first"
    assert client.get_experiment(run.info.experiment_id).name == "digits"
    assert run.data.tags["team"] == "speech"
    told = run.data.params
    assert told["model.tasks.kind.kind"] == "MultiClass"
    assert told["model.tasks.val_price.main_metric"] == "rmse"
    # 3 x 5 + 5 of the encoder, 5 x 2 + 2 of the classes.
    assert told["model.parameters.shared"] == "20" and told["model.parameters.kind"] == "12"
    assert told["model.balancer"] == "RLW"
    assert told["model.optimizer.class_name"] == "SGD"
    assert json.loads(told["model.loss_weights.val_price"]) == 8.0
    assert told["training.epochs"] == "2" and told["data.rows"] == "16"
    assert told["versions.keras"] == keras.__version__
    assert len(told["long"]) == 6000 and told["long"].endswith("x...")


def test_artifacts_are_the_model_as_it_ended_and_the_files(tracked, tmp_path):
    _, model, _, _, client, run = tracked
    paths = {found.path for found in client.list_artifacts(run.info.run_id)}
    assert paths == {"model.keras", "report.html", "figures"}
    assert [f.path for f in client.list_artifacts(run.info.run_id, "figures")] == ["figures/a.svg"]
    file = client.download_artifacts(run.info.run_id, "model.keras", str(tmp_path))
    x, _ = rows()
    kept, ended = keras.models.load_model(file), model.predict(x, verbose=0)
    for task, values in kept.predict(x, verbose=0).items():
        assert np.array_equal(values, ended[task])


class Breaks(keras.callbacks.Callback):
    """Leaves training after the first epoch."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("no room"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_ends_with_training_that_was_left(store, error, status):
    callback = MLflow("digits", tracking_uri=store)
    callbacks = [callback, Breaks(error)]
    with pytest.raises(type(error)):
        model_of_two().fit(*rows(), batch_size=8, verbose=0, callbacks=callbacks)
    client = mlflow.MlflowClient(tracking_uri=store)
    run = client.get_run(callback.run_id)
    assert run.info.status == status
    assert len(client.list_artifacts(callback.run_id)) == 0


def test_a_run_that_is_there_is_used_and_left_open(store, monkeypatch, tmp_path, caplog):
    mlflow.set_tracking_uri(store)
    try:
        with mlflow.start_run() as mine:
            mlflow.log_metric("loss", 9.0, step=7)
            callback = MLflow(tags={"team": "text"}, artifacts=[tmp_path / "absent.html"])
            fitted([callback], epochs=1)
            assert callback.run_id == mine.info.run_id == mlflow.active_run().info.run_id
            run = mlflow.MlflowClient().get_run(mine.info.run_id)
            assert run.info.status == "RUNNING" and run.data.tags["team"] == "text"
            assert {"kind/loss", "val/kind/loss"} <= set(run.data.metrics)
    finally:
        mlflow.set_tracking_uri(None)
    assert "absent.html is not there" in caplog.text


def test_arguments_that_cannot_be():
    with pytest.raises(TypeError, match=r"artifacts=\['model'\]"):
        MLflow(artifacts="model")
    with pytest.raises(TypeError, match="a dict as `config`"):
        MLflow(config=[1])
