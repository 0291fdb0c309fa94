"""Balancers by the Gramian whose tasks count as much as a user says."""

from collections.abc import Mapping
from typing import Any

from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._preference import check_numbers, vector_of


class PreferenceBalancer(GramianBalancer):
    """A `GramianBalancer` with a preference over the tasks.

    Attributes:
        preference: How much each task counts, by name; 1 where a task is not named.
        wanted: The same in the order of the tasks, `(K,)`, once bound to a model.

    Raises:
        TypeError: If the preference is not given by name.
        ValueError: If a number is negative, or, when it meets the model, a task is unknown.
    """

    def __init__(
        self,
        preference: Mapping[str, float] | None = None,
        gradients: str = "parameters",
        **kwargs: Any,
    ):
        super().__init__(gradients, **kwargs)
        self.preference = check_numbers("preference", preference)

    def make_state(self, k: int) -> None:
        self.wanted = vector_of("preference", self.preference, self.task_names, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preference": dict(self.preference)}
