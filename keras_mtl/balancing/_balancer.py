"""What every balancer is: a layer that no input flows through, bound to K tasks."""

import abc
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._record import Record


class Balancer(keras.layers.Layer, abc.ABC):
    """Trades K tasks against each other; its state is saved with the model.

    Attributes:
        needs: What a step must give it: "losses", "gramian" or "gradients".
        gradients: Of what: "parameters" or "features".
        parts: How many parts of a batch, with no row in common, it tells apart.
        every: It balances at each `every`-th step, and keeps its weights in between.
        lengths_only: Whether of the Gramian it only looks at the diagonal.
        keeps: Whether it keeps a number for each entry of the K gradients of what is shared.
        needs_positive_losses: Whether it makes no sense of losses that are 0 or negative.
        needs_losses_after_step: Whether it is told the losses of the same batch after the step, by
            `after_step(losses, present)`, at the price of another forward pass.
        task_names: The K tasks, once bound to a model.
        last_weights: The weight of each task at the last step, `(K,)`, for whoever watches.
        record: What it has seen of the tasks since the epoch began; see `Record.summary`.
    """

    needs: str
    gradients = "parameters"
    parts = 1
    every = 1
    lengths_only = False
    keeps = False
    needs_positive_losses = False
    needs_losses_after_step = False
    task_names: list[str]
    record: Record

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.task_names = []
        self._memory: dict[int, Any] = {}

    def bind(self, task_names: Sequence[str], shared: Sequence[keras.Variable] = ()) -> None:
        """Meets the model's K tasks and makes the variables that depend on K.

        Args:
            task_names: The tasks.
            shared: What two or more of them depend on, whose gradients it may keep.

        Raises:
            ValueError: If it was bound to other tasks, or to other variables, before.
        """
        if self.task_names and list(task_names) != list(self.task_names):
            raise ValueError(
                f"This {type(self).__name__} balances the tasks {list(self.task_names)} and cannot "
                f"also balance {list(task_names)}; make a new one for each model."
            )
        if not self.task_names:
            self.task_names = list(task_names)
            self.make_state(len(self.task_names))
            if self.keeps:
                # Not by their paths, which those of two encoders may have in common.
                self._memory = {id(v): self._memory_of(v) for v in shared}
            if self.every > 1:
                self.held = self.vector("held", "ones")
                self.steps = self.add_weight((), "zeros", "int64", trainable=False, name="steps")
            self.last_weights = self.vector("last_weights", "ones")
            self.record = Record(len(self.task_names))
        # Keras loads the state of built layers only.
        self.built = True

    @property
    def compared(self) -> Sequence[tuple[int, int]]:
        """The parts of the batch whose gradients are multiplied with each other; all, if not said."""
        return [(p, q) for p in range(self.parts) for q in range(p, self.parts)]

    @property
    def measured(self) -> int | None:
        """A part of the batch whose gradients are multiplied with each other, if there is one."""
        return next((p for p, q in self.compared if p == q), None)

    @property
    def recorded(self) -> list[str]:
        """What its record will hold: "weights", "norms" and "cosines", as far as it looks at them."""
        if self.needs != "gramian" or self.measured is None:
            return ["weights"] if self.needs != "gradients" else []
        return ["weights", "norms"] if self.lengths_only else ["weights", "norms", "cosines"]

    @property
    def stepped(self) -> Sequence[int]:
        """The parts of the batch whose gradients it weighs; all, if not said."""
        return range(self.parts)

    def make_state(self, k: int) -> None:
        """Makes the variables of K tasks, with `vector` or `add_weight`."""

    def vector(self, name: str, initializer: Any = "zeros", trainable: bool = False) -> Any:
        """A variable with a number for each task, `(K,)`."""
        return self.add_weight(
            shape=(len(self.task_names),),
            initializer=initializer,
            trainable=trainable,
            dtype="float32",
            name=name,
        )

    def memory(self, variable: keras.Variable) -> Any:
        """What is kept of the K gradients of a shared variable, `(K, *shape)`.

        Raises:
            ValueError: If the variable was not among those that it was bound to.
        """
        if id(variable) not in self._memory:
            known = sorted(memory.name for memory in self._memory.values())
            raise ValueError(
                f"{type(self).__name__} keeps the gradients of some variables ({known}), but two tasks "
                f"also share {variable.path!r}, which was frozen or is tied; compile the model again "
                "with a new one."
            )
        return self._memory[id(variable)]

    @property
    def small_variables(self) -> list[keras.Variable]:
        """Its variables without its memory of gradients."""
        kept = {id(v) for v in self._memory.values()}
        return [v for v in self.weights if id(v) not in kept]

    def differentiated(self, losses: Sequence[Any], whole: Any, present: Any) -> Sequence[Any]:
        """What is differentiated in place of the K losses, where a method looks at gradients.

        Args:
            losses: K scalars, this replica's share of each.
            whole: `(K,)`, the losses themselves, as constants.
            present: `(K,)` booleans.
        """
        return losses

    def due(self) -> Any:
        """Whether this step is one to balance at; counts the step."""
        now = ops.equal(self.steps % self.every, 0)
        self.steps.assign_add(1)
        return now

    def on_epoch_end(self) -> None:
        """Called by `fit` after each training epoch."""

    def load_own_variables(self, store: Any) -> None:
        # Release 0.1.0 kept no `last_weights`, which are the last to be made.
        last = str(len(self._trainable_variables) + len(self._non_trainable_variables) - 1)
        names = list(store.keys())
        if self.task_names and last not in names:
            store = {**{name: store[name] for name in names}, last: self.last_weights}
        super().load_own_variables(store)

    def _memory_of(self, variable: keras.Variable) -> Any:
        return self.add_weight(
            (len(self.task_names), *variable.shape),
            "zeros",
            "float32",
            trainable=False,
            name="memory_" + variable.path.replace("/", "_"),
        )
