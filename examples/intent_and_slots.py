"""What did they ask for, and about what? Text classification and entity tagging on one encoder.

Trains on SNIPS, chooses the epoch on the validation split alone, and prints intent accuracy, slot
F1 (as conlleval counts it) and frame accuracy (intent and every tag right) on the official test
split, beside published models of that split.

Run: python examples/intent_and_slots.py --data-dir DATA/snips   (or set KERAS_MTL_DATA)
"""

import argparse
import time

import keras

import keras_mtl
from keras_mtl import encoders, tasks

PUBLISHED = {
    "SF-ID network (E et al., ACL 2019)": (97.0, 90.5, 78.4),
    "Stack-Propagation (Qin et al., EMNLP 2019)": (98.0, 94.2, 86.9),
}


class BestFrames(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best slot F1 plus frame accuracy on validation rows."""

    def __init__(self, valid: keras_mtl.data.Examples):
        super().__init__()
        self.valid = valid.dataset(100)
        self.best = -1.0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        report = keras_mtl.evaluate(self.model, self.valid)
        intent, f1 = report["intent"]["accuracy"], report["slots"]["f1"]
        frames = report.joint["frame_accuracy"]
        if f1 + frames > self.best:
            self.best, self.weights, self.epoch = f1 + frames, self.model.get_weights(), epoch + 1
        print(
            f"epoch {epoch + 1}: loss {logs['loss']:.4f}, validation intent {100 * intent:.1f}, "
            f"slot F1 {100 * f1:.1f}, frames {100 * frames:.1f}",
            flush=True,
        )

    def on_train_end(self, logs: dict | None = None) -> None:
        self.model.set_weights(self.weights)
        print(f"The weights of epoch {self.epoch} are kept.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=None, help="train on the first rows alone")
    parser.add_argument("--units", type=int, default=384)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", default=None, help="a folder for the SavedModel")
    arguments = parser.parse_args()
    begun = time.time()
    keras.utils.set_random_seed(arguments.seed)
    train, valid, test = keras_mtl.datasets.snips(arguments.data_dir)
    if arguments.rows:
        train = train.select(range(arguments.rows))

    model = keras_mtl.build_model(
        encoder=encoders.Text(
            vocabulary=train.vocabulary,
            kind="bilstm",
            units=arguments.units,
            embedding=200,
            characters=150,
            dropout=0.6,
        ),
        tasks=[
            tasks.MultiClass("intent", classes=train.intents),
            tasks.SequenceTagging("slots", tags=train.tags, decoder="crf"),
        ],
    )
    batches = train.dataset(batch_size=32, shuffle=True, seed=arguments.seed, bucket=True)
    steps = arguments.epochs * int(batches.cardinality())
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps - steps // 10, alpha=0.01, warmup_target=2e-3, warmup_steps=steps // 10
    )
    # The average of the weights over about the last four hundredths of the steps is judged and kept.
    optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=1 - 16 / steps)
    model.compile(optimizer, loss_weights={"intent": 0.1, "slots": 1.0})
    model.fit(
        batches,
        epochs=arguments.epochs,
        verbose=0,
        callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True), BestFrames(valid)],
    )

    report = keras_mtl.evaluate(model, test)
    print(f"\n{report}\n")
    ours = (
        report["intent"]["accuracy"],
        report["slots"]["f1"],
        report.joint["frame_accuracy"],
    )
    print(f"{'official test split':44} intent  slot F1  frames")
    for name, figures in PUBLISHED.items():
        print(f"{name:44} {figures[0]:6.1f}  {figures[1]:7.1f}  {figures[2]:6.1f}")
    print(f"{'this model':44} {100 * ours[0]:6.1f}  {100 * ours[1]:7.1f}  {100 * ours[2]:6.1f}")
    print(f"{time.time() - begun:.0f} seconds in all")
    if arguments.export:
        print("SavedModel:", keras_mtl.export.saved_model(model, arguments.export))


if __name__ == "__main__":
    main()
