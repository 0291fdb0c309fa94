"""From an encoder, tasks and a sharing scheme to a model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_mtl import alignment as alignments
from keras_mtl import fairness as fairness_losses
from keras_mtl import sharing as schemes
from keras_mtl._names import check_task_names, refuse_unknown
from keras_mtl.encoders import Encoder
from keras_mtl.model import MultiTaskModel
from keras_mtl.tasks import Prediction, Task
from keras_mtl.tasks._order import in_order


def build_model(
    encoder: Any,
    tasks: Sequence[Task],
    sharing: Any = "hard",
    alignment: Mapping[str, Any] | None = None,
    *,
    fairness: Mapping[str, Any] | None = None,
    groups: Iterable[Sequence[str]] | None = None,
    inputs: Any = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a multi-task model: shared encoder, sharing scheme, one head a task.

    Args:
        encoder: An object of `keras_mtl.encoders`; or any Keras model, whose inputs become the
            model's; or any Keras layer, together with `inputs`.
        tasks: Objects of `keras_mtl.tasks`, each with a name of its own.
        sharing: A name of `keras_mtl.sharing.names()` or a sharing object.
        alignment: `{label name: alignment}`, names of `keras_mtl.alignment.names()` or alignment
            objects: labels of that name tell each row's domain, whose features are drawn together in
            training.
        fairness: `{task: loss}` or `{task: [loss, ...]}`, objects of `keras_mtl.fairness`: in training
            they draw the task's scores in different groups of rows together.
        groups: Which tasks are trained together, as `keras_mtl.suggest_groups` proposes: each group
            has an encoder, alignments and a sharing scheme of its own, made as the given ones are; an
            encoder that comes with weights begins with them in each group. One group of all tasks by
            default.
        inputs: `keras.Input`, or a dict of them, for an encoder that is a bare layer.
        name: The model's name.

    Returns:
        The model, not compiled; its outputs are `{task: served output}`.

    Raises:
        TypeError: If the encoder is no layer, or a task is no task.
        ValueError: If task names clash, inputs are needed or not wanted, features do not fit a task, a
            task reads the scores of one that cannot give them, or `fairness` does not go with a task.

    Example:

    >>> from keras_mtl import encoders, tasks
    >>> model = build_model(
    ...     encoders.Dense(features=4, units=[16]),
    ...     [tasks.Binary("sold"), tasks.Regression("price", units="EUR")],
    ... )
    >>> model.compile("adam", loss_weights={"sold": 0.3, "price": 0.7})
    >>> {name: output.shape for name, output in model.output.items()}
    {'sold': (None, 1), 'price': (None, 1)}
    """
    for task in tasks:
        if not isinstance(task, Task):
            raise TypeError(
                f"`tasks` holds {task!r} of type {type(task).__name__}; expected objects of "
                "keras_mtl.tasks, such as tasks.MultiClass('intent', classes=7)."
            )
    named_inputs, encode = _encoding(encoder, inputs)
    names = check_task_names([task.name for task in tasks], named_inputs)
    for domain in alignment or {}:
        check_task_names([*names, domain], named_inputs)
    fair = _checked_fairness(fairness, names)
    ordered = in_order(tasks)
    shared: dict[str, Any] = {}
    # What comes with weights, such as a pretrained network, has them in every group.
    weights = encoder.get_weights()
    for i, group in enumerate(_checked_groups(groups, names)):
        again = _Again(i)
        encoder_of_group = again.made(encoder)
        features = encode(encoder_of_group)
        if weights and i > 0:
            encoder_of_group.set_weights(weights)
        for domain, identifier in (alignment or {}).items():
            features = again.made(alignments.get(identifier)).connect(features, domain)
        shared.update(again.made(schemes.get(sharing)).connect(features, group))
    scores: dict[str, Any] = {}
    for task in ordered:
        scores[task.name] = task.raw_scores(shared[task.name], scores)
    for task in tasks:
        for loss in fair.get(task.name, []):
            scores[task.name] = loss.connect(scores[task.name], task)
    outputs = {task.name: Prediction(task)(scores[task.name]) for task in tasks}
    single = next(iter(named_inputs.values())) if len(named_inputs) == 1 else None
    return MultiTaskModel(named_inputs if single is None else single, outputs, name=name)


class _Again:
    """Makes a layer again for each group after the first, under a name of its own.

    Args:
        group: Which group it is.
    """

    def __init__(self, group: int):
        self._group = group

    def made(self, layer: Any) -> Any:
        """The layer itself for the first group; else one like it, with weights of its own."""
        if self._group == 0:
            return layer
        if isinstance(layer, keras.Model):
            copy = keras.models.clone_model(layer, clone_function=self._like)
            copy.name = self._name(layer)
            return copy
        return self._like(layer)

    def _like(self, layer: Any) -> Any:
        # What the first was told when it was connected is the first's alone.
        config = {k: v for k, v in layer.get_config().items() if k not in ("task_names", "domain")}
        return type(layer).from_config({**config, "name": self._name(layer)})

    def _name(self, layer: Any) -> str:
        return f"{layer.name}_{self._group + 1}"


def _checked_groups(groups: Any, names: Sequence[str]) -> list[list[str]]:
    if groups is None:
        return [list(names)]
    found = [list(group) for group in groups]
    given = [task for group in found for task in group]
    if sorted(given) != sorted(names) or not all(found):
        raise ValueError(
            f"`groups` is {found}; expected each of the tasks {list(names)} in exactly one group, and "
            "no group empty."
        )
    return found


def _checked_fairness(given: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """The fairness losses of each task that has some."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`fairness` came as {given!r}; expected losses by task, such as "
            "{'income': keras_mtl.fairness.MMD('sex', groups=2)}."
        )
    refuse_unknown("fairness", given, names)
    found = {}
    for task, losses in given.items():
        listed = losses if isinstance(losses, (list, tuple)) else [losses]
        found[task] = [fairness_losses.get(loss) for loss in listed]
        for loss in found[task]:
            # An input may well have the label's name: people do not ask for a label to be served.
            check_task_names([*names, loss.sensitive])
    return found


def _encoding(encoder: Any, inputs: Any) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """The inputs by name, and what makes features of them with an encoder of this kind."""
    if not isinstance(encoder, keras.Layer):
        raise TypeError(
            f"`encoder` came as {encoder!r} of type {type(encoder).__name__}; expected an object of "
            "keras_mtl.encoders, a Keras model or a Keras layer."
        )
    bare = not isinstance(encoder, (Encoder, keras.Model))
    if bare == (inputs is None):
        raise ValueError(
            "An encoder that is a bare layer does not know its inputs; give "
            "inputs=keras.Input(shape, name=...)."
            if bare
            else f"`inputs` is not wanted with {type(encoder).__name__}, which has its own; leave it "
            "out."
        )
    if isinstance(encoder, Encoder):
        named = encoder.make_inputs()
        return named, lambda one: one.features_of(named)
    if bare:
        return _by_name(inputs), lambda one: one(inputs)
    named = {
        t.name: keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in encoder.inputs
    }
    # A Sequential that nobody has called has inputs, but no `input`.
    structure = encoder.inputs[0] if isinstance(encoder, keras.Sequential) else encoder.input
    given = keras.tree.map_structure(lambda t: named[t.name], structure)
    return named, lambda one: one(given)


def _by_name(inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return {tensor.name: tensor for tensor in keras.tree.flatten(inputs)}
