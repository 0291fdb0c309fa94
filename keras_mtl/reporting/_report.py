"""One page about a model that people look at, and the same as Markdown and JSON."""

import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl._run_files import Run, read_run, write_json, write_text
from keras_mtl._version import __version__
from keras_mtl.reporting._content import Section, plain
from keras_mtl.reporting._measured import with_affinity, with_explanation
from keras_mtl.reporting._subject import Subject, subject_of

FORMAT = 1


def report(
    run: Any = None,
    data: Any = None,
    *,
    model: Any = None,
    comparison: Any = None,
    affinity: Any = None,
    explanation: Any = None,
    sensitive: Any = None,
    folder: Any = None,
) -> pathlib.Path:
    """Writes a page about a model: what it is worth, task by task, where it errs, how it came about.

    `report.html` is one file that needs no network; `report.md` and `report.json` hold the same
    numbers. Rows without a label of a task are left out of what is told of it.

    Args:
        run: The folder of a run, which `callbacks.RunFolder` or `keras-mtl train` made; its model,
            history and, where it has a configuration, test rows are taken.
        data: Rows to judge by, `keras_mtl.data.Examples` or batches of `(inputs, labels)`.
        model: A `MultiTaskModel`; the run's, if not given.
        comparison: What `keras_mtl.compare` gave, for Delta_m.
        affinity: What `evaluation.task_affinity` or `evaluation.gradient_cosines` gave. True has the
            cosines measured here, on at most 1,024 of the run's validation rows, or of `data`; where
            that cannot be, the page tells why.
        explanation: What `keras_mtl.explain` gave, one or a list of them. True has at most 200 of the
            judged rows explained here.
        sensitive: Which groups of people to judge apart, as `keras_mtl.evaluate` takes them:
            `{"sex": values}`, or names of inputs or labels. Needs the extra `fairness`.
        folder: Where the files go; the run's folder, if not given.

    Returns:
        The HTML file.

    Raises:
        ImportError: If `sensitive` is given and fairlearn is not installed.
        TypeError: If `sensitive` is given and the rows come in batches.
        ValueError: If there is no model, no rows, no folder to write to, or no label in the rows; or
            `comparison` is of other tasks, or `sensitive` does not go with the rows.
        OSError: If a file cannot be written.

    Example:

    >>> import tempfile
    >>> import keras_mtl
    >>> _, _, test = keras_mtl.datasets.multi_digits(train=1, valid=1, test=32)
    >>> model = keras_mtl.build_model(
    ...     keras_mtl.encoders.Image((12, 12, 1), filters=[4]),
    ...     [keras_mtl.tasks.MultiClass("left", 10), keras_mtl.tasks.MultiClass("right", 10)],
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = report(model=model, data=test, folder=folder)
    ...     sorted(path.name for path in page.parent.iterdir())
    ['report.html', 'report.json', 'report.md']
    """
    known = read_run(run) if run is not None else None
    if known is None and (model is None or folder is None):
        raise ValueError(
            "`report` needs the folder of a run, or `model=`, `data=` and `folder=`, where the files "
            "go."
        )
    model = _model(known) if model is None else model
    _check(comparison, model)
    valid, rows, part = (data, data, "judged") if data is not None else _rows(known)
    subject = subject_of(
        model,
        rows,
        sensitive=sensitive,
        run=known,
        history=_history(known, model),
        comparison=comparison,
        affinity=None if affinity is True else affinity,
        explanations=() if explanation is True else _listed(explanation),
    )
    if affinity is True:
        subject = with_affinity(subject, valid, part)
    if explanation is True:
        subject = with_explanation(subject)
    target = pathlib.Path(folder) if folder is not None else known.path  # type: ignore[union-attr]
    return _write(subject, target)


def sections_of(subject: Subject) -> list[Section]:
    """Every section that has something to tell."""
    # Here, so that an import of keras_mtl does not wait for what only reports need.
    from keras_mtl.reporting._sections import SECTIONS

    return [found for make in SECTIONS if (found := make(subject)) is not None]


def _write(subject: Subject, folder: pathlib.Path) -> pathlib.Path:
    title = subject.run.name if subject.run is not None else subject.model.name
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    tasks = len(subject.model.task_names)
    subtitle = (
        f"{tasks} task{'s' if tasks > 1 else ''}, judged on {subject.rows:,} rows by keras_mtl "
        f"{__version__} on {now:%Y-%m-%d %H:%M} UTC"
    )
    from keras_mtl.reporting._html import page_html
    from keras_mtl.reporting._markdown import page_markdown

    sections = sections_of(subject)
    write_json(
        folder / "report.json",
        {
            "format": FORMAT,
            "title": title,
            "created": now.isoformat(),
            "rows": subject.rows,
            "scores": subject.report.to_dict(),
            "sections": {one.anchor: plain(one) for one in sections},
        },
    )
    write_text(folder / "report.md", page_markdown(title, subtitle, sections))
    return write_text(folder / "report.html", page_html(title, subtitle, sections))


def _model(run: Run | None) -> Any:
    if run is None or run.model_file is None:
        where = "" if run is None else f" {str(run.path)!r} holds no model.keras;"
        raise ValueError(
            f"There is no model to report on:{where} let the run end, or give `model=`."
        )
    return keras.models.load_model(run.model_file)


def _check(comparison: Any, model: Any) -> None:
    if comparison is not None and not set(comparison.metrics) & set(model.task_names):
        raise ValueError(
            f"`comparison` is of the tasks {list(comparison.metrics)}, but the model's are "
            f"{model.task_names}; give one that was made of this model's tasks."
        )


def _rows(run: Run | None) -> tuple[Any, Any, str]:
    """The run's validation and test rows, and what the former are called."""
    if run is None or run.config_file is None:
        where = "" if run is None else f" {str(run.path)!r} has no config.yaml that names them;"
        raise ValueError(f"There are no rows to judge by:{where} give `data=`, the test rows.")
    from keras_mtl._config_file import read_config
    from keras_mtl._run import load_data

    _, valid, test = load_data(read_config(run.config_file))
    return valid, test, "validation"


def _history(run: Run | None, model: Any) -> dict[str, Any]:
    if run is not None:
        return run.history if len(run.history) > 1 else {}
    # Keras puts it on a model when an epoch ends, and not before.
    fitted = vars(model).get("history")
    return {} if fitted is None else dict(fitted.history)


def _listed(explanation: Any) -> Sequence[Any]:
    if explanation is None:
        return ()
    return list(explanation) if isinstance(explanation, (list, tuple)) else [explanation]
