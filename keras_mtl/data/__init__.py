"""How rows, files and several data sets become batches.

Everything here ends in a `tf.data.Dataset` of `(inputs, {task: labels}[, {task: weights}])`, dicts
by input name and by task name: inputs `(B, ...)`, labels `(B,)`, `(B, D)` or `(B, T)`, weights
`(B,)`. A missing label is -1 in integers and NaN in floats; sequences are padded with "", -1 or
NaN. `Examples` holds rows in memory, and its `.dataset(...)` gives the batches.

To add a source: a file with a function that returns `Examples`, a test file of the same name, one
line here.
"""

from keras_mtl.data.csv_files import from_csv, read_csv
from keras_mtl.data.examples import Examples
from keras_mtl.data.frames import from_frame
from keras_mtl.data.image_folders import ImageExamples, from_image_folder
from keras_mtl.data.mix import mix
from keras_mtl.data.split import split
from keras_mtl.data.tfrecord import check_tfrecords, read_tfrecords, write_tfrecords
from keras_mtl.data.token_files import from_tokens, read_conll, read_parallel

__all__ = [
    "Examples", "ImageExamples", "check_tfrecords", "from_csv", "from_frame", "from_image_folder",
    "from_tokens", "mix", "read_conll", "read_csv", "read_parallel", "read_tfrecords", "split",
    "write_tfrecords",
]  # fmt: skip
