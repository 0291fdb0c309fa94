"""What a run is, as a YAML file: data, encoder, tasks, training, output.

Every key is checked; a wrong one is answered with its line, what is allowed and the nearest match.
"""

import pathlib
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_mtl._names import nearest


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
    """The files that a run writes; None writes none."""

    model: str = "model.keras"
    logs: str | None = None
    report: str | None = None
    export: str | None = None


class RunConfig(_Part):
    """A whole run."""

    data: DataConfig
    encoder: EncoderConfig
    tasks: list[TaskConfig] = Field(min_length=1)
    sharing: str = "hard"
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig.model_validate({}))
    output: OutputConfig = OutputConfig()


def read_config(path: Any) -> RunConfig:
    """Reads and checks a run's YAML file.

    Raises:
        ValueError: If it is not YAML or holds a wrong key or value; every fault with its line.
        OSError: If it cannot be read.
    """
    path = pathlib.Path(path)
    text = path.read_text(encoding="utf-8")
    try:
        node = yaml.compose(text)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds no settings; expected the keys {list(RunConfig.model_fields)}."
        )
    try:
        run = RunConfig.model_validate(content)
    except ValidationError as error:
        faults = [_told(path, node, dict(fault)) for fault in error.errors()]
        raise ValueError("\n".join(faults)) from None
    names = [task.name for task in run.tasks]
    for i, name in enumerate(names):
        if name in names[:i]:
            line, _ = _locate(node, ["tasks", i, "name"])
            raise ValueError(
                f"{path}:{line}: tasks.{i}.name: the task {name!r} is there already; names must "
                "differ."
            )
    named: list[tuple[list[Any], str]] = [
        (["training", "loss_weights"], name) for name in run.training.loss_weights
    ]
    for i, task in enumerate(run.tasks):
        if isinstance(task, BinaryConfig):
            named += [(["tasks", i, "given"], task.given)] if task.given else []
            named += [(["tasks", i, "at_most"], name) for name in task.at_most]
    for place, name in named:
        if name not in names:
            line, _ = _locate(node, [*place, name])
            near = nearest(name, names)
            raise ValueError(
                f"{path}:{line}: {'.'.join(map(str, place))}: there is no task {name!r}; "
                + (f"did you mean {near!r}? " if near else "")
                + f"the tasks are {', '.join(names)}."
            )
    return run


def _told(path: pathlib.Path, node: Any, fault: dict[str, Any]) -> str:
    place = [p for p in fault["loc"] if isinstance(p, int) or not _is_tag(p, node, fault["loc"])]
    if fault["type"] == "union_tag_invalid":
        place.append("kind")
    line, keys = _locate(node, place)
    where = ".".join(str(p) for p in keys) or "the file"
    said = f"{path}:{line}: {where}: "
    if fault["type"] == "extra_forbidden":
        allowed = _allowed(fault["loc"])
        near = nearest(keys[-1], allowed)
        hint = f"did you mean {near!r}? " if near else ""
        return f"{said}there is no such key; {hint}allowed are {', '.join(allowed)}."
    context = fault.get("ctx", {})
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in ("literal_error", "union_tag_invalid"):
        options = str(context.get("expected") or context.get("expected_tags"))
        value = fault["input"].get("kind") if isinstance(fault["input"], dict) else fault["input"]
        names = [o.strip().strip("'") for o in options.replace(" or ", ", ").split(",")]
        near = nearest(value, names)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"{said}{value!r} is not allowed; expected one of {', '.join(names)}{hint}"
    if fault["type"] == "missing":
        return f"{said}the key is required."
    came = "" if isinstance(fault["input"], (dict, list)) else f" (came {fault['input']!r})"
    return f"{said}{message}{came}"


_TAGS = {
    "multi_digits", "multi_mnist", "snips", "csv", "binary", "multi_class", "multi_label",
    "ordinal", "regression", "sequence_tagging", "dense", "tabular", "text", "image",
}  # fmt: skip


def _is_tag(part: Any, node: Any, location: Any) -> bool:
    """Whether a part of pydantic's path names a kind or a type rather than a key of the file."""
    index = location.index(part)
    follows_kind = index > 0 and (location[index - 1] in ("data", "encoder") or isinstance(
        location[index - 1], int
    ))  # fmt: skip
    typed = "[" in str(part) or part in ("TowerConfig", "str", "int", "float", "bool")
    return typed or (part in _TAGS and follows_kind)


def _locate(node: Any, place: list[Any]) -> tuple[int, list[Any]]:
    """The line of the deepest key of `place` that the file has."""
    line, keys = node.start_mark.line + 1, []
    for part in place:
        keys.append(part)
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line, keys + place[len(keys) :]


def _allowed(location: Any) -> list[str]:
    """The keys that the part at `location` knows."""
    models: dict[Any, type[BaseModel]] = {
        "training": TrainingConfig, "output": OutputConfig, "early_stopping": EarlyStoppingConfig,
        "tower": TowerConfig, "TowerConfig": TowerConfig, "multi_digits": DigitsData,
        "multi_mnist": MnistData, "snips": SnipsData, "csv": CsvData, "binary": BinaryConfig,
        "multi_class": MultiClassConfig, "multi_label": MultiLabelConfig, "ordinal": OrdinalConfig,
        "regression": RegressionConfig, "sequence_tagging": TaggingConfig, "dense": DenseEncoder,
        "tabular": TabularEncoder, "text": TextEncoder, "image": ImageEncoder,
    }  # fmt: skip
    for part in reversed(location[:-1]):
        if part in models:
            return list(models[part].model_fields)
    return list(RunConfig.model_fields)
