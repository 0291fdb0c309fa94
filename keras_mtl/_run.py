"""From a run's configuration to its data, its model, and the fit."""

import logging
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl import callbacks, config, data, datasets, encoders, tasks
from keras_mtl.build import build_model
from keras_mtl.data import Examples
from keras_mtl.model import MultiTaskModel

logger = logging.getLogger("keras_mtl")

Parts = tuple[Examples, Examples, Examples]


def load_data(run: config.RunConfig) -> Parts:
    """Training, validation and test rows of a run."""
    told = run.data
    if isinstance(told, config.DigitsData):
        return datasets.multi_digits(train=told.train, valid=told.valid, test=told.test)
    if isinstance(told, config.MnistData):
        return datasets.multi_mnist(
            told.data_dir, train=told.train, valid=told.valid, test=told.test
        )
    if isinstance(told, config.SnipsData):
        return datasets.snips(told.data_dir)
    return _load_csv(told, run)


def make_task(told: Any, classes: dict[str, list[str]]) -> tasks.Task:
    """A task of the configuration; classes that it does not name are those of the data."""
    made = told.model_dump(exclude={"kind"})
    kinds = {
        "binary": tasks.Binary, "multi_class": tasks.MultiClass, "multi_label": tasks.MultiLabel,
        "ordinal": tasks.Ordinal, "regression": tasks.Regression,
        "sequence_tagging": tasks.SequenceTagging,
    }  # fmt: skip
    if "classes" in made:
        known = made.pop("classes") or classes.get(told.name)
        if known is None and told.kind != "binary":
            raise ValueError(
                f"Task {told.name!r} names no classes and the data do not tell them; give "
                "`classes`, a list of names or their number."
            )
        if known is not None:
            made["tags" if told.kind == "sequence_tagging" else "classes"] = known
    return kinds[told.kind](**made)


def make_model(
    run: config.RunConfig, train: Examples, names: list[str] | None = None
) -> MultiTaskModel:
    """The uncompiled model of a run, or of some of its tasks alone."""
    chosen = [told for told in run.tasks if names is None or told.name in names]
    made = [make_task(_among(told, chosen), train.classes) for told in chosen]
    return build_model(make_encoder(run.encoder, train), made, run.sharing)


def _among(told: Any, chosen: Sequence[Any]) -> Any:
    """What is told of a task, without what it presupposes of tasks that are not chosen."""
    if not isinstance(told, config.BinaryConfig):
        return told
    names = [other.name for other in chosen]
    given = told.given if told.given in names else None
    at_most = {name: told.at_most[name] for name in told.at_most if name in names}
    return told.model_copy(update={"given": given, "at_most": at_most})


def make_encoder(told: Any, train: Examples) -> encoders.Encoder:
    """The encoder of a run, with what it learns from the training rows."""
    first = next(iter(train.inputs))
    options = told.model_dump(exclude={"kind", "reader", "network"})
    if isinstance(told, config.TabularEncoder):
        return encoders.Tabular.infer(train.inputs, **options)
    if isinstance(told, config.DenseEncoder):
        width = math.prod(train.inputs[first].shape[1:])  # type: ignore[union-attr]
        return encoders.Dense(width, input_name=first, **options)
    if isinstance(told, config.ImageEncoder):
        shape = train.inputs[first].shape[1:]  # type: ignore[union-attr]
        return encoders.Image(shape, told.network, input_name=first, **options)
    words = sorted({word for row in range(len(train)) for word in train.inputs["tokens"][row]})
    return encoders.Text(words, told.reader, **options)


def make_optimizer(run: config.RunConfig, steps: int) -> Any:
    """The optimizer of a run of so many steps."""
    told = run.training
    rate: Any = told.learning_rate
    if told.schedule == "cosine":
        warm = max(1, steps // 10)
        rate = keras.optimizers.schedules.CosineDecay(
            rate / 20, max(1, steps - warm), alpha=0.01, warmup_target=rate, warmup_steps=warm
        )
    options: dict[str, Any] = {"learning_rate": rate, "clipnorm": told.clipnorm}
    if told.ema:
        options.update(use_ema=True, ema_momentum=told.ema)
    return keras.optimizers.get({"class_name": told.optimizer, "config": options})


def run_folder(
    run: config.RunConfig, told: pathlib.Path, parts: Parts, *, anew: bool = False
) -> callbacks.RunFolder | None:
    """What keeps a run together, if it has a folder.

    Args:
        run: The run.
        told: Its YAML file, of which a copy is kept.
        parts: Its rows.
        anew: Whether to begin anew where there is a run already.
    """
    if run.output.folder is None:
        return None
    return callbacks.RunFolder(
        run.output.folder,
        config=told,
        seed=run.training.seed,
        data=dict(zip(("train", "valid", "test"), parts, strict=True)),
        resume=not anew,
    )


def fit(
    run: config.RunConfig,
    model: MultiTaskModel,
    train: Examples,
    valid: Examples,
    kept: callbacks.RunFolder | None = None,
) -> Any:
    """Compiles and trains the model of a run, and keeps it in its folder; returns the Keras history."""
    told = run.training
    bucket = run.encoder.kind == "text"
    batches = train.dataset(told.batch_size, shuffle=True, seed=told.seed, bucket=bucket)
    model.compile(
        make_optimizer(run, told.epochs * int(batches.cardinality())),
        loss_weights=told.loss_weights,
        balancer=told.balancer,
        jit_compile=told.jit_compile,
    )
    watching: list[Any] = [] if kept is None else [kept]
    if told.ema:
        watching.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if run.output.logs:
        watching.append(callbacks.TensorBoard(run.output.logs))
    if told.early_stopping:
        watching.append(callbacks.EarlyStopping(**told.early_stopping.model_dump()))
    return model.fit(
        batches,
        validation_data=valid.dataset(told.batch_size),
        epochs=told.epochs,
        callbacks=watching,
    )


def _load_csv(told: config.CsvData, run: config.RunConfig) -> Parts:
    classes = {}
    for task in run.tasks:
        named = task.model_dump().get("classes")
        if isinstance(named, list):
            classes[task.name] = named

    def read(path: str, known: dict[str, Any]) -> Examples:
        table = data.read_csv(
            path, delimiter=told.delimiter, header=told.header, text=told.text,
            on_bad_row=told.on_bad_row,
        )  # fmt: skip
        taken = {c for v in told.labels.values() for c in ([v] if isinstance(v, str) else v)}
        inputs = told.inputs or [n for n in table if n not in taken and n not in told.drop]
        return data.from_frame(table, inputs, told.labels, classes=known)

    train = read(told.train, classes)
    if told.valid and told.test:
        return train, read(told.valid, train.classes), read(told.test, train.classes)
    if told.test:
        shares = told.split[0], told.split[1]
        kept, valid = data.split(train, [s / sum(shares) for s in shares], seed=run.training.seed)
        return kept, valid, read(told.test, train.classes)
    parts = data.split(train, told.split, seed=run.training.seed)
    if len(parts) != 3:
        raise ValueError(f"`split` has {len(parts)} shares; expected three: train, valid, test.")
    return parts
