"""Adam on a balancer's own vector, for methods whose gradient no tape sees."""

from typing import Any

from keras import ops


class Adam:
    """One vector of K numbers and its moments; Kingma and Ba, ICLR 2015, arXiv:1412.6980.

    Args:
        balancer: The balancer that the variables belong to.
        name: Of the vector.
        initializer: Where it starts.
        learning_rate: Of its steps.
    """

    def __init__(self, balancer: Any, name: str, initializer: Any, learning_rate: float):
        self.value = balancer.vector(name, initializer)
        self.first = balancer.vector(name + "_first_moment")
        self.second = balancer.vector(name + "_second_moment")
        self.count = balancer.vector(name + "_steps")
        self.learning_rate = learning_rate

    def step(self, gradient: Any, moved: Any) -> None:
        """Moves the entries `moved`, `(K,)` booleans, against `gradient`, `(K,)`."""
        count = self.count + ops.cast(moved, "float32")
        first = 0.9 * self.first + 0.1 * gradient
        second = 0.999 * self.second + 0.001 * ops.square(gradient)
        n = ops.maximum(count, 1.0)
        size = ops.sqrt(second / (1.0 - ops.power(0.999, n))) + 1e-8
        moves = self.learning_rate * first / (1.0 - ops.power(0.9, n)) / size
        for variable, value in (
            (self.value, self.value - moves),
            (self.first, first),
            (self.second, second),
            (self.count, count),
        ):
            variable.assign(ops.where(moved, value, variable))
