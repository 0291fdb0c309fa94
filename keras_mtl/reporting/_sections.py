"""The sections, in the order of the page."""

from collections.abc import Callable, Sequence

from keras_mtl.reporting import (
    about,
    calibration,
    classes,
    comparison,
    confusion,
    curves,
    data,
    explanations,
    fairness,
    glance,
    parameters,
    precision_recall,
    relations,
    residuals,
    scores,
    worst,
)
from keras_mtl.reporting._content import Section
from keras_mtl.reporting._subject import Subject

SECTIONS: Sequence[Callable[[Subject], Section | None]] = (
    glance.section,
    scores.section,
    comparison.section,
    curves.section,
    confusion.section,
    classes.section,
    precision_recall.section,
    calibration.section,
    residuals.section,
    fairness.section,
    worst.section,
    relations.section,
    explanations.section,
    parameters.section,
    data.section,
    about.section,
)
"""Each makes its section of what is known, or None where it has nothing to tell."""
