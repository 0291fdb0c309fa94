"""A run in Weights & Biases, with each task's metrics."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl._extra import extra_module
from keras_mtl.callbacks._tracker import MODEL, Tracker


class WandB(Tracker):
    """Follows training in Weights & Biases: per-task curves, configuration, the model (extra `track`).

    Keys are `<task>/<metric>`, those of validation `val/<task>/<metric>`; besides `loss`, `val/loss`,
    `<task>/loss_weight` (alpha), `<task>/balancer_weight`, `learning_rate` and `epoch`. The
    configuration holds tasks, optimizer, balancer, loss weights, numbers of parameters and versions.
    The run ends with training, as failed if training does; a run that is there already
    (`wandb.init()` was called) is used and left open.

    `WANDB_MODE=offline` keeps the run in files, for `wandb sync` to send later.

    Args:
        project: The project; W&B's own choice if None.
        name: The run's name; W&B makes one up if None.
        config: What else is kept of the run, such as its configuration as a dict.
        artifacts: What is kept at the end as artifacts: "model" is the model as `model.keras`,
            everything else the path of a file or a folder, such as a report.
        **kwargs: Further arguments of `wandb.init`, such as `group`, `tags`, `id`, `mode`.

    Raises:
        ImportError: When training begins, if wandb is not installed.
        TypeError: If `config` is not a dict, or `artifacts` is a single string.

    Example:

    >>> callback = WandB(project="intents", artifacts=["model", "reports/intents.html"])
    >>> callback.artifacts
    ('model', 'reports/intents.html')
    """

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        artifacts: Sequence[Any] = (MODEL,),
        **kwargs: Any,
    ):
        super().__init__(config, artifacts)
        self.project = project
        self.name = name
        self.kwargs = kwargs
        self._wandb: Any = None
        self._run: Any = None
        self._own = False

    def begin(self, config: dict[str, Any]) -> None:
        self._wandb = extra_module("wandb", "track", "callbacks.WandB")
        self._own = self._wandb.run is None
        if not self._own:
            self._run = self._wandb.run
            self._run.config.update(config, allow_val_change=True)
            return
        self._run = self._wandb.init(
            project=self.project, name=self.name, config=config, **self.kwargs
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")

    def record(self, scalars: dict[str, float], epoch: int) -> None:
        # Not as W&B's own step, of which the user's run may be at another one.
        self._run.log({**scalars, "epoch": epoch})

    def keep(self, path: pathlib.Path) -> None:
        kind = "model" if path.suffix == ".keras" else "file"
        artifact = self._wandb.Artifact(f"{self._run.id}-{path.stem}", type=kind)
        if path.is_dir():
            artifact.add_dir(str(path))
        else:
            artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def end(self, error: BaseException | None) -> None:
        if self._own:
            self._run.finish(exit_code=0 if error is None else 1)
        self._run = None
