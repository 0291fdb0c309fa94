"""What the input becomes: raw columns, words or pictures to features that tasks share.

An encoder is a Keras layer that knows its own inputs (`make_inputs`) and gives `(B, d)`,
`(B, T, d)` with a mask, or `(B, h, w, d)`. Its preprocessing is inside, so that a served model
takes what people have; a `PreprocessingEncoder` has it in a half of its own, so that clients may do
it beforehand. Any Keras model, and any layer with inputs, will do in its place.

To add one: a file with a subclass of `Encoder`, a test file of the same name, one line here.
"""

from keras_mtl.encoders._encoder import Encoder, PreprocessingEncoder
from keras_mtl.encoders.dense import Dense
from keras_mtl.encoders.image import Image
from keras_mtl.encoders.pretrained import Pretrained
from keras_mtl.encoders.tabular import Categorical, Numeric, Tabular
from keras_mtl.encoders.text import Text

__all__ = [
    "Categorical",
    "Dense",
    "Encoder",
    "Image",
    "Numeric",
    "PreprocessingEncoder",
    "Pretrained",
    "Tabular",
    "Text",
]
