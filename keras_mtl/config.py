"""What a run is: data, encoder, tasks, training, output. `_config_file` reads it from YAML."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class DigitsData(_Part):
    """Two handwritten digits on a canvas, from scikit-learn: no download."""

    kind: Literal["multi_digits"]
    train: int = Field(6000, gt=0)
    valid: int = Field(1000, gt=0)
    test: int = Field(2000, gt=0)


class MnistData(_Part):
    """Two MNIST digits on a canvas."""

    kind: Literal["multi_mnist"]
    data_dir: str | None = None
    train: int = Field(60_000, gt=0)
    valid: int = Field(5_000, gt=0)
    test: int = Field(10_000, gt=0)


class SnipsData(_Part):
    """Utterances with intents and slots."""

    kind: Literal["snips"]
    data_dir: str | None = None


class CsvData(_Part):
    """A CSV file, split by the labels of all tasks, or one file a part."""

    kind: Literal["csv"]
    train: str
    valid: str | None = None
    test: str | None = None
    split: list[float] = [0.8, 0.1, 0.1]
    inputs: list[str] | None = None
    drop: list[str] = []
    labels: dict[str, str | list[str]]
    text: list[str] = []
    delimiter: str = ","
    header: list[str] | None = None
    on_bad_row: Literal["error", "skip"] = "error"


DataConfig = Annotated[DigitsData | MnistData | SnipsData | CsvData, Field(discriminator="kind")]


class TowerConfig(_Part):
    """A head's own layers."""

    units: list[int] = []
    activation: str = "relu"
    dropout: float = Field(0.0, ge=0, lt=1)
    pooling: Literal["attention", "mean", "max"] = "attention"


class _Task(_Part):
    name: str
    tower: TowerConfig | list[int] = []


class _Classes(_Task):
    classes: list[str] | int | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    focal_gamma: float = Field(0.0, ge=0)
    class_weight: Literal["balanced"] | dict[str, float] | None = None


class BinaryConfig(_Classes):
    """One of two classes: `keras_mtl.tasks.Binary`."""

    kind: Literal["binary"]
    given: str | None = None
    at_most: dict[str, Annotated[float, Field(gt=0)]] = {}


class MultiClassConfig(_Classes):
    """One of several classes: `keras_mtl.tasks.MultiClass`."""

    kind: Literal["multi_class"]


class MultiLabelConfig(_Classes):
    """Any number of classes at once: `keras_mtl.tasks.MultiLabel`."""

    kind: Literal["multi_label"]


class OrdinalConfig(_Task):
    """Classes in an order: `keras_mtl.tasks.Ordinal`."""

    kind: Literal["ordinal"]
    classes: list[str] | int | None = None
    class_weight: Literal["balanced"] | dict[str, float] | None = None


class RegressionConfig(_Task):
    """Numbers: `keras_mtl.tasks.Regression`."""

    kind: Literal["regression"]
    dimensions: int | list[str] = 1
    loss: Literal["mse", "mae", "huber"] = "mse"
    scaling: Literal["standard"] | None = "standard"
    units: str = ""


class TaggingConfig(_Classes):
    """A tag for each token: `keras_mtl.tasks.SequenceTagging`."""

    kind: Literal["sequence_tagging"]
    decoder: Literal["softmax", "crf"] = "softmax"


TaskConfig = Annotated[
    BinaryConfig
    | MultiClassConfig
    | MultiLabelConfig
    | OrdinalConfig
    | RegressionConfig
    | TaggingConfig,
    Field(discriminator="kind"),
]


class DenseEncoder(_Part):
    """Rows of numbers: `keras_mtl.encoders.Dense`."""

    kind: Literal["dense"]
    units: list[int] = [128, 128]
    activation: str = "relu"
    dropout: float = Field(0.0, ge=0, lt=1)


class TabularEncoder(_Part):
    """Named columns: `keras_mtl.encoders.Tabular`, inferred from the training rows."""

    kind: Literal["tabular"]
    units: list[int] = [128, 64]
    embedding: int = Field(8, gt=0)
    activation: str = "relu"
    dropout: float = Field(0.0, ge=0, lt=1)


class TextEncoder(_Part):
    """Sentences of tokens: `keras_mtl.encoders.Text`; `reader` is its `kind`."""

    kind: Literal["text"]
    reader: Literal["bilstm", "cnn", "transformer"] = "bilstm"
    units: int = Field(256, gt=0)
    embedding: int = Field(128, gt=0)
    characters: int = Field(0, ge=0)
    dropout: float = Field(0.3, ge=0, lt=1)


class ImageEncoder(_Part):
    """Pictures: `keras_mtl.encoders.Image`; `network` is its `kind`."""

    kind: Literal["image"]
    network: str = "cnn"
    filters: list[int] = [32, 64]
    units: int = Field(0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)


EncoderConfig = Annotated[
    DenseEncoder | TabularEncoder | TextEncoder | ImageEncoder, Field(discriminator="kind")
]


class EarlyStoppingConfig(_Part):
    """When to stop: `keras_mtl.callbacks.EarlyStopping`."""

    monitor: str | list[str] = "val_loss"
    mode: Literal["all", "any"] = "all"
    patience: int = Field(3, ge=0)


class TrainingConfig(_Part):
    """How the model is compiled and fitted."""

    epochs: int = Field(10, gt=0)
    batch_size: int = Field(64, gt=0)
    optimizer: str = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    ema: float = Field(0.0, ge=0, lt=1)
    clipnorm: float | None = Field(None, gt=0)
    loss_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    balancer: str | None = None
    early_stopping: EarlyStoppingConfig | None = None
    jit_compile: bool | Literal["auto"] = "auto"
    seed: int = 0


class OutputConfig(_Part):
    """The files that a run writes; None writes none.

    With a folder the run is kept together there, model and logs too where they are not told.
    """

    folder: str | None = None
    model: str = "model.keras"
    logs: str | None = None
    report: str | None = None
    export: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_its_folder(cls, given: Any) -> Any:
        folder = given.get("folder") if isinstance(given, dict) else None
        if not isinstance(folder, str):
            return given
        return {"model": f"{folder}/model.keras", "logs": f"{folder}/logs", **given}

    def moved_to(self, folder: str) -> "OutputConfig":
        """The same with another folder, or with one."""
        told = self.model_dump(exclude_unset=True)
        if self.folder is not None:
            usual = OutputConfig(folder=self.folder)
            told = {k: v for k, v in told.items() if v != getattr(usual, k)}
        return OutputConfig.model_validate({**told, "folder": folder})


class ParameterConfig(_Part):
    """What one key of the run may be while it is tuned: a range, choices, or shares of a sum."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = Field(None, gt=0)
    choices: list[Any] | None = Field(None, min_length=1)
    simplex: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> "ParameterConfig":
        ranged = self.low is not None and self.high is not None
        half = (self.low is None) != (self.high is None)
        if half or self.simplex + (self.choices is not None) + ranged != 1:
            raise ValueError(
                "expected one of {low: 0.1, high: 1}, {choices: [...]} and {simplex: true}"
            )
        if not ranged and (self.log or self.step is not None):
            raise ValueError("`log` and `step` go with `low` and `high` alone")
        return self


class TuningConfig(_Part):
    """What `keras-mtl tune` tries: parameters by the dotted path of their key in this file."""

    trials: int = Field(20, gt=0)
    epochs: int | None = Field(None, gt=0)
    prune: bool = True
    parameters: dict[str, ParameterConfig] = Field(min_length=1)


class RunConfig(_Part):
    """A whole run."""

    data: DataConfig
    encoder: EncoderConfig
    tasks: list[TaskConfig] = Field(min_length=1)
    sharing: str = "hard"
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig.model_validate({}))
    output: OutputConfig = OutputConfig()
    tuning: TuningConfig | None = None
