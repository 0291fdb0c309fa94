"""How a functional model's layers belong to its tasks."""

import collections
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_mtl._domains import AsksForDomains
from keras_mtl._functional import is_functional
from keras_mtl._names import check_task_names, refuse_unknown
from keras_mtl._prediction import Prediction, ReadsOthers


class HeadsTied:
    """A layer that is told the kernels which each task has to itself: see `TaskGraph`."""

    @property
    def ties_heads(self) -> bool:
        """Whether it wants to know them."""
        raise NotImplementedError

    def meet_heads(self, kernels: Mapping[str, Sequence[Any]]) -> None:
        """Takes note of the kernels of each task, in their order."""
        raise NotImplementedError


class TaskGraph:
    """What each task reads, which layers it has to itself, and the graph that a step runs.

    Args:
        inputs: The model's inputs, any structure of `KerasTensor`.
        outputs: The model's outputs by task name.
    """

    def __init__(self, inputs: Any, outputs: Mapping[str, Any]):
        self.predictions: dict[str, Prediction] = {}
        scores = {}
        self._layers: dict[str, list[keras.layers.Layer]] = {}
        # Without what it reads of other tasks' heads.
        self._stands_on: dict[str, list[keras.layers.Layer]] = {}
        for name, tensor in outputs.items():
            layer = tensor._keras_history.operation
            scores[name] = tensor
            if isinstance(layer, Prediction):
                self.predictions[name] = layer
                if layer.scores:
                    scores[name] = _arguments(tensor)[0]
            self._layers[name] = _ancestors(tensor)
            self._stands_on[name] = _ancestors(tensor, others=False)
        self._inputs, self._outputs = inputs, dict(outputs)
        every = {id(x): x for layers in self._layers.values() for x in layers}
        # Also those that another layer has inside; a function of `keras.ops` is no layer.
        layers = [x for x in every.values() if isinstance(x, keras.layers.Layer)]
        inside = {id(x): x for layer in layers for x in layer._flatten_layers()}
        self.asking = [x for x in inside.values() if isinstance(x, AsksForDomains)]
        self.domains = list(dict.fromkeys(layer.domain for layer in self.asking))
        for layer in every.values():
            if isinstance(layer, HeadsTied):
                layer.meet_heads({name: self._kernels(name) for name in outputs})
        self.scores = scores
        # A plain container, so that Keras does not take the step's graph for a layer of the model.
        self.step = None
        if any(scores[name] is not outputs[name] for name in outputs):
            both = {name: [scores[name], outputs[name]] for name in outputs}
            self.step = keras.Model(inputs, both, name="step")

    def answers(
        self, model: Any, x: Any, *, training: bool, features: Sequence[Any] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The scores and the served output of each task, from inputs or from what `features` gave."""
        if features is not None:
            both = self.from_features(features, x, training=training)
        elif self.step is not None:
            both = self.step(x, training=training)
        else:
            served = model(x, training=training)
            return served, served
        scores = {name: pair[0] for name, pair in both.items()}
        return scores, {name: pair[1] for name, pair in both.items()}

    def features(self, x: Any, *, training: bool) -> list[Any]:
        """The shared representation: what the shared layers hand to layers of single tasks."""
        return keras.tree.flatten(self._halves[0](x, training=training))

    def from_features(self, features: Sequence[Any], x: Any, *, training: bool) -> dict[str, Any]:
        """The scores and the served output of each task, from what `features` gave."""
        _, heads, read = self._halves
        given = keras.tree.flatten(x)
        tensors = [*features, *(given[i] for i in read)]
        answers = keras.tree.flatten(heads(tensors, training=training))
        found = dict(zip(self._answers, answers, strict=True))
        return {n: [found[id(self.scores[n])], found[id(self._outputs[n])]] for n in self._outputs}

    @functools.cached_property
    def _answers(self) -> dict[int, Any]:
        """The scores and the served outputs, each once."""
        return {id(t): t for t in [*self.scores.values(), *self._outputs.values()]}

    @functools.cached_property
    def _halves(self) -> tuple[keras.Model, keras.Model, list[int]]:
        """The trunk, the heads, and which inputs the heads read; the layers are the model's own."""
        every = {id(x) for layers in self._stands_on.values() for x in layers}
        own = every - {id(x) for x in _of_several(self._stands_on)}
        found: dict[int, Any] = {}
        waiting = list(self._answers.values())
        while waiting:
            tensor = waiting.pop()
            operation = tensor._keras_history.operation
            if id(operation) in own:
                waiting.extend(_arguments(tensor))
            else:
                found[id(tensor)] = tensor
        inputs = keras.tree.flatten(self._inputs)
        read = [i for i, tensor in enumerate(inputs) if found.pop(id(tensor), None) is not None]
        atop = [name for name, t in self._outputs.items() if id(t) in found]
        if atop or not found:
            raise ValueError(
                "gradients='features' balances what the tasks share, but "
                + (
                    f"the tasks {atop} have no layer of their own"
                    if atop
                    else "no two tasks share a layer"
                )
                + "; use gradients='parameters'."
            )
        cut = list(found.values())
        return (
            keras.Model(self._inputs, cut, name="trunk"),
            keras.Model(
                [*cut, *(inputs[i] for i in read)], list(self._answers.values()), name="heads"
            ),
            read,
        )

    def of_task(self, task: str, inputs: Sequence[Any]) -> tuple[Any, Any]:
        """The inputs that a task's output depends on, in the model's own structure, and the output."""
        wanted = [t for t in inputs if t._keras_history.operation in self._layers[task]]
        needed = {id(tensor) for tensor in wanted}
        if isinstance(self._inputs, dict):
            return {k: t for k, t in self._inputs.items() if id(t) in needed}, self._outputs[task]
        return (wanted if len(wanted) > 1 else wanted[0]), self._outputs[task]

    def check_domains(self, labels: Mapping[str, Any] | None) -> None:
        """Raises a `ValueError` if labels that tell domains are not what a layer asks for."""
        for layer in self.asking:
            if labels and layer.domain in labels:
                layer.check_domains(labels[layer.domain])

    def with_task(self, task: Any, *, keep: bool) -> dict[str, Any]:
        """The outputs of a model of another task, beside these or alone.

        Raises:
            ValueError: If the tasks have no features in common, or one has its name and is kept.
        """
        outputs = dict(self._outputs) if keep else {}
        inputs = [tensor.name for tensor in keras.tree.flatten(self._inputs)]
        check_task_names([*outputs, task.name], inputs)
        outputs[task.name] = task.head(self.common_features())
        return outputs

    def common_features(self) -> Any:
        """The last tensor that all tasks depend on, or below the head of the only one.

        Raises:
            ValueError: If they have nothing in common but inputs.
        """
        head = {id(x) for x in self._only_head()}
        common = [
            x
            for x in next(iter(self._stands_on.values()))
            if id(x) not in head and self._serves_all(x)
        ]
        found = [
            node.output_tensors[0]
            for x in common
            for node in x._inbound_nodes
            if len(node.output_tensors) == 1 and node.input_tensors
        ]
        if not found:
            raise ValueError(
                f"The tasks {list(self._outputs)} have no features in common, only inputs; build a new "
                "model for the new task."
            )
        return max(found, key=lambda tensor: len(_ancestors(tensor)))

    def _serves_all(self, operation: Any) -> bool:
        return all(any(operation is x for x in layers) for layers in self._stands_on.values())

    def layers_of(self, part: str) -> list[Any]:
        """The layers of "shared" or of a task; those of the only task's head are its own.

        Raises:
            ValueError: If there is no such part.
        """
        refuse_unknown("part", [part], ["shared", *self._outputs])
        head = self._only_head()
        if not head:
            found = self.shared_layers() if part == "shared" else self.own_layers(part)
        elif part == "shared":
            own = {id(x) for x in head}
            found = [x for x in next(iter(self._layers.values())) if id(x) not in own]
        else:
            found = head
        return [x for x in found if isinstance(x, keras.Layer)]

    def _only_head(self) -> list[Any]:
        """What the head of the only task made, told by its names; nothing if that cannot be told."""
        (task, output), *others = self._outputs.items()
        if others or task not in self.predictions or not self.predictions[task].scores:
            return []
        found, waiting = {}, [output]
        while waiting:
            tensor = waiting.pop()
            layer = tensor._keras_history.operation
            # An encoder may be named alike.
            encodes = getattr(layer, "calls_layers_plainly", False)
            if tensor is output or (layer.name.startswith(f"{task}_") and not encodes):
                found[id(layer)] = layer
                waiting.extend(_arguments(tensor))
        return list(found.values())

    def own_layers(self, task: str) -> list[keras.layers.Layer]:
        """The layers that lead to this task's output and to no other's."""
        return _of_one(self._layers, task)

    def _kernels(self, task: str) -> list[keras.Variable]:
        """What a task's own layers multiply with, in the order of its graph."""
        own = [x for x in reversed(_of_one(self._stands_on, task)) if isinstance(x, keras.Layer)]
        return [v for v in variables_of(own) if v.name == "kernel"]

    def shared_layers(self) -> list[keras.layers.Layer]:
        """The layers that two or more tasks' outputs depend on."""
        return _of_several(self._layers)

    def shared_variables(self) -> list[keras.Variable]:
        """The trainable variables that two or more tasks' outputs depend on."""
        return variables_of(self.shared_layers())

    def dense_layers(self) -> list[keras.layers.Dense]:
        """Those of the shared layers, and inside of them, whose calls are all that uses them."""
        return [x for x in _within(self.shared_layers()) if isinstance(x, keras.layers.Dense)]

    def accepts_missing(self, name: str) -> bool:
        """Whether every layer that reads input `name` says that it can deal with NaN."""
        readers = [
            layer
            for layers in self._layers.values()
            for layer in layers
            for node in layer._inbound_nodes
            for tensor in node.input_tensors
            if tensor._keras_history.operation.name == name
        ]
        return bool(readers) and all(getattr(r, "accepts_missing", False) for r in readers)


def variables_of(layers: Sequence[Any]) -> list[keras.Variable]:
    """The trainable variables of these layers, each once."""
    found = [
        v for layer in layers if isinstance(layer, keras.Layer) for v in layer.trainable_variables
    ]
    return list({id(v): v for v in found}.values())


def _of_one(layers: Mapping[str, Sequence[Any]], task: str) -> list[Any]:
    """The layers of this task that no other has."""
    others = {id(x) for name in layers if name != task for x in layers[name]}
    return [layer for layer in layers[task] if id(layer) not in others]


def _of_several(layers: Mapping[str, Sequence[Any]]) -> list[Any]:
    """The layers that two or more tasks have."""
    every = {id(x): x for found in layers.values() for x in found}
    seen = collections.Counter(id(x) for found in layers.values() for x in found)
    return [layer for key, layer in every.items() if seen[key] > 1]


def _within(layers: Sequence[Any]) -> list[Any]:
    """These layers, or in their place those that they call one after the other and say that they do."""
    found: list[Any] = []
    for layer in layers:
        if is_functional(layer):
            found += _within(layer.layers)
        elif getattr(layer, "calls_layers_plainly", False):
            found += layer._flatten_layers(include_self=False)
        else:
            found.append(layer)
    return list({id(layer): layer for layer in found}.values())


def _arguments(tensor: Any) -> list[Any]:
    history = tensor._keras_history
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)


def _ancestors(tensor: Any, *, others: bool = True) -> list[Any]:
    """The operations that lead to `tensor`; `others` tells whether through other tasks' scores, too."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        operation = current._keras_history.operation
        if all(operation is not other for other in found):
            found.append(operation)
        read = _arguments(current)
        waiting.extend(read if others or not isinstance(operation, ReadsOthers) else read[:1])
    return found
