"""Known data sets, ready to learn from.

A loader returns training, validation and test rows as `keras_mtl.data.Examples`: inputs by name,
labels by task name, class names in `.classes`. Data come from `data_dir`, from the folder that the
environment variable `KERAS_MTL_DATA` names, or from a download that is checked by its sum.

To add one: a file with a loader, a test file of the same name, one line here.
"""

from keras_mtl.datasets.adult import adult
from keras_mtl.datasets.census_income import census_income
from keras_mtl.datasets.compas import compas
from keras_mtl.datasets.heart_disease import heart_disease
from keras_mtl.datasets.multi_digits import multi_digits
from keras_mtl.datasets.multi_mnist import multi_mnist
from keras_mtl.datasets.school import school
from keras_mtl.datasets.snips import SnipsExamples, snips

__all__ = [
    "SnipsExamples", "adult", "census_income", "compas", "heart_disease", "multi_digits",
    "multi_mnist", "school", "snips",
]  # fmt: skip
