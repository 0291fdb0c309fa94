"""A run in MLflow, with each task's metrics."""

import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl._extra import extra_module
from keras_mtl.callbacks._tracker import MODEL, Tracker, flat

# MLflow's limit on a call, and on the length of a parameter in a database.
_BATCH = 100
_LONGEST = 6000


class MLflow(Tracker):
    """Follows training in MLflow: per-task curves, parameters, the model (extra `track`).

    Metrics are `<task>/<metric>`, those of validation `val/<task>/<metric>`; besides `loss`,
    `val/loss`, `<task>/loss_weight` (alpha), `<task>/balancer_weight` and `learning_rate`; steps are
    epochs. Parameters, under dotted names, are tasks, optimizer, balancer, loss weights, numbers of
    parameters and versions. The run ends with training: as FAILED if training fails, as KILLED if it
    is interrupted; a run that is there already (`mlflow.start_run()` was called) is used and left
    open.

    Args:
        experiment: The experiment, made if it is not there; MLflow's default one if None.
        name: The run's name; MLflow makes one up if None.
        tracking_uri: Where MLflow keeps its runs, such as "sqlite:///mlflow.db" or a server's
            address; what `mlflow.set_tracking_uri` or `MLFLOW_TRACKING_URI` says if None.
        config: What else is kept of the run, such as its configuration as a dict.
        artifacts: What is kept at the end: "model" is the model as `model.keras`, everything else
            the path of a file or a folder, such as a report.
        tags: Tags of the run.

    Attributes:
        run_id: MLflow's name of the run, once training has begun.

    Raises:
        ImportError: When training begins, if MLflow is not installed.
        TypeError: If `config` is not a dict, or `artifacts` is a single string.

    Example:

    >>> callback = MLflow("intents", tracking_uri="sqlite:///mlflow.db", tags={"team": "speech"})
    >>> callback.artifacts
    ('model',)
    """

    def __init__(
        self,
        experiment: str | None = None,
        name: str | None = None,
        tracking_uri: str | None = None,
        config: Mapping[str, Any] | None = None,
        artifacts: Sequence[Any] = (MODEL,),
        tags: Mapping[str, str] | None = None,
    ):
        super().__init__(config, artifacts)
        self.experiment = experiment
        self.name = name
        self.tracking_uri = tracking_uri
        self.tags = dict(tags or {})
        self.run_id: str | None = None
        self._client: Any = None
        self._entities: Any = None
        self._own = False

    def begin(self, config: dict[str, Any]) -> None:
        mlflow = extra_module("mlflow", "track", "callbacks.MLflow")
        self._entities = extra_module("mlflow.entities", "track", "callbacks.MLflow")
        active = mlflow.active_run()
        self._own = active is None
        if active is None:
            self._client = mlflow.MlflowClient(tracking_uri=self.tracking_uri)
            made = self._client.create_run(self._experiment(), run_name=self.name, tags=self.tags)
            self.run_id = made.info.run_id
        else:
            self._client = mlflow.MlflowClient()
            self.run_id = active.info.run_id
            for key, value in self.tags.items():
                self._client.set_tag(self.run_id, key, value)
        told = [(key, _text(value)) for key, value in flat(config)]
        parameters = [self._entities.Param(key, value) for key, value in told]
        for i in range(0, len(parameters), _BATCH):
            self._client.log_batch(self.run_id, params=parameters[i : i + _BATCH])

    def record(self, scalars: dict[str, float], epoch: int) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(key, v, now, epoch) for key, v in scalars.items()]
        for i in range(0, len(metrics), _BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[i : i + _BATCH])

    def keep(self, path: pathlib.Path) -> None:
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), path.name)
        else:
            self._client.log_artifact(self.run_id, str(path))

    def end(self, error: BaseException | None) -> None:
        if self._own:
            failed = "FAILED" if isinstance(error, Exception) else "KILLED"
            self._client.set_terminated(self.run_id, "FINISHED" if error is None else failed)

    def _experiment(self) -> str:
        if self.experiment is None:
            return "0"
        found = self._client.get_experiment_by_name(self.experiment)
        return (
            self._client.create_experiment(self.experiment)
            if found is None
            else found.experiment_id
        )


def _text(value: Any) -> str:
    told = value if isinstance(value, str) else json.dumps(value, default=str)
    return told if len(told) <= _LONGEST else told[: _LONGEST - 3] + "..."
