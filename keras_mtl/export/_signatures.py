"""What a SavedModel answers: its signatures, each made from the same model."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.export import _examples, _images
from keras_mtl.export._input_names import input_names
from keras_mtl.export._preprocessed import Preprocessing

DEFAULT, LABELS = "serving_default", "serving_labels"
EXAMPLES, IMAGES, PREPROCESSED = "serving_examples", "serving_images", "serving_preprocessed"

Rows = Mapping[str, np.ndarray]
Answer = Callable[[Any], dict[str, Any]]


class Signature(NamedTuple):
    """One of the ways in which a SavedModel is called.

    Attributes:
        answer: From tensors by input name to the tensors that it gives, by their names.
        specs: What it takes, by input name.
        request: From rows of the model's own inputs to what a request for them holds.
    """

    answer: Answer
    specs: Mapping[str, tf.TensorSpec]
    request: Callable[[Rows], dict[str, np.ndarray]]


def signatures(
    model: Any, *, pixels: tuple[float, float] | None = None, preprocessed: bool = False
) -> dict[str, Signature]:
    """Every signature of a model by name, `serving_default` first.

    Args:
        model: A `MultiTaskModel`.
        pixels: What black and white are in the data, where images are numbers with a fraction.
        preprocessed: Whether there is one behind the model's preprocessing.

    Raises:
        ValueError: If a task is named like one of them, there is no image for `pixels`, or no
            preprocessing to leave out.
    """
    names = input_names(model)
    specs = {names[t.name]: tf.TensorSpec(t.shape, t.dtype) for t in model.inputs}
    answer = _traced(model, names, specs)
    found = {DEFAULT: Signature(answer, specs, dict)}
    for task in model.task_names:
        found[task] = _of_task(model, task, names, specs)
    if _deciding(model):
        found[LABELS] = Signature(_decided(model, answer), specs, dict)
    if _examples.describable(specs):
        found[EXAMPLES] = _of_examples(answer, specs)
    image = _images.image_input(specs, pixels)
    if image is not None:
        found[IMAGES] = _of_files(answer, specs, image, pixels)
    if preprocessed:
        found[PREPROCESSED] = _behind(Preprocessing(model, names), model.task_names)
    taken = [task for task in model.task_names if task in (EXAMPLES, IMAGES, PREPROCESSED)]
    if taken:
        raise ValueError(
            f"Task name {taken[0]!r} is the name of a signature that every SavedModel may have; "
            "rename the task."
        )
    return found


def _of_task(
    model: Any, task: str, names: Mapping[str, str], specs: Mapping[str, tf.TensorSpec]
) -> Signature:
    alone = model.task_model(task)
    needed = {names[t.name]: specs[names[t.name]] for t in alone.inputs}
    return Signature(
        _traced(alone, names, needed), needed, lambda rows: {name: rows[name] for name in needed}
    )


def _of_examples(answer: Answer, specs: Mapping[str, tf.TensorSpec]) -> Signature:
    def of_examples(inputs: Any) -> dict[str, Any]:
        return answer(_examples.parsed(inputs[_examples.INPUT], specs))

    def request(rows: Rows) -> dict[str, np.ndarray]:
        return {_examples.INPUT: _examples.serialized(rows, specs)}

    return Signature(of_examples, {_examples.INPUT: tf.TensorSpec((None,), tf.string)}, request)


def _of_files(
    answer: Answer,
    specs: Mapping[str, tf.TensorSpec],
    image: str,
    pixels: tuple[float, float] | None,
) -> Signature:
    """Takes the files of images in the place of their pixels, every other input as it is."""

    def of_files(inputs: Any) -> dict[str, Any]:
        return answer({**inputs, image: _images.decoded(inputs[image], specs[image], pixels)})

    def request(rows: Rows) -> dict[str, np.ndarray]:
        return {**rows, image: _images.encoded(rows[image], pixels)}

    return Signature(of_files, {**specs, image: tf.TensorSpec((None,), tf.string)}, request)


def _behind(preprocessing: Preprocessing, tasks: list[str]) -> Signature:
    def of_preprocessed(inputs: Any) -> dict[str, Any]:
        return _in_full_precision(preprocessing.answers(inputs), tasks)

    return Signature(of_preprocessed, preprocessing.specs, preprocessing.prepare)


def plain(model: Any, names: Mapping[str, str]) -> Answer:
    """What a model answers in full precision, from inputs by their names."""

    def answers(inputs: Any) -> dict[str, Any]:
        # In the structure that the model was built with.
        flat = [inputs[names[tensor.name]] for tensor in model.inputs]
        given = model(keras.tree.pack_sequence_as(model.input, flat), training=False)
        return _in_full_precision(given, model.task_names)

    return answers


def _traced(model: Any, names: Mapping[str, str], specs: Mapping[str, tf.TensorSpec]) -> Answer:
    """`plain` as one graph, traced once, when it is first asked for."""
    function = tf.function(plain(model, names), input_signature=[dict(specs)], autograph=False)

    @functools.cache
    def graph() -> Any:
        # `function` itself is traced at its first call and at its second.
        with tf.init_scope():
            return function.get_concrete_function()

    return lambda inputs: graph()(inputs)


def _decided(model: Any, answer: Answer) -> Answer:
    deciding = _deciding(model)

    def decided(inputs: Any) -> dict[str, Any]:
        given = answer(inputs)
        return {
            name: tf.gather(tf.constant(task.classes), task.decide(given[name]))
            for name, task in deciding.items()
        }

    return decided


def _deciding(model: Any) -> dict[str, Any]:
    """The tasks whose answer is one class, or one tag a position."""
    return {
        name: task
        for name, task in model.tasks.items()
        if task.classes is not None and not task.elementwise
    }


def _in_full_precision(given: Mapping[str, Any], tasks: list[str]) -> dict[str, Any]:
    """What a model computes in half precision is served as float32, which every client reads."""
    half = (tf.float16, tf.bfloat16)
    return {
        task: tf.cast(given[task], tf.float32) if given[task].dtype in half else given[task]
        for task in tasks
    }
