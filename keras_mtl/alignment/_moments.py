"""Variances and covariances of the rows that take part, with n - 1 in the denominator."""

from typing import Any

from keras import ops

from keras_mtl.alignment._sample import Sample, deviations, mean


def variance(of: Sample) -> Any:
    """Of each feature, `(..., d)`."""
    squares = ops.square(deviations(of, mean(of)))
    return ops.sum(squares, axis=-2) / ops.expand_dims(ops.maximum(of.count - 1.0, 1.0), -1)


def covariance(of: Sample) -> Any:
    """`(..., d, d)`."""
    about_mean = deviations(of, mean(of))
    products = ops.matmul(ops.swapaxes(about_mean, -2, -1), about_mean)
    return products / ops.expand_dims(ops.maximum(of.count - 1.0, 1.0), (-2, -1))
