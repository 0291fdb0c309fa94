"""Finding what to build and how to train it: trials, one objective a task, on one shared study."""

import functools
import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_mtl.data import Examples
from keras_mtl.data._columns import Sequences
from keras_mtl.evaluation.report import evaluate
from keras_mtl.model import MultiTaskModel
from keras_mtl.tuning._study import SharedStudy
from keras_mtl.tuning._watch import CURVE, Watch, from_json
from keras_mtl.tuning.pruning import Pruning
from keras_mtl.tuning.result import Trial, Tuning
from keras_mtl.tuning.space import FirstOf, Parameter, check_space

_PRUNING = Pruning()


def tune(
    build: Callable[[dict[str, Any]], Any],
    train: Any,
    valid: Any,
    *,
    space: Mapping[str, Parameter],
    trials: int = 20,
    epochs: int = 10,
    batch_size: int | Callable[[dict[str, Any]], int] = 64,
    storage: Any = None,
    name: str = "keras_mtl",
    seed: int = 0,
    prune: Pruning | None = _PRUNING,
    callbacks: Callable[[], Sequence[Any]] | None = None,
    sampler: Any = None,
    catch: tuple[type[Exception], ...] = (),
    progress: Callable[[str], None] | None = None,
) -> Tuning:
    """Tries models and ways to train them, and keeps those that are best for one task or another.

    Every task is an objective of its own: the main metric of its `score` on the validation rows,
    after the last epoch. The answer is the Pareto front, the trials that no other one beats. Trials
    are proposed by Optuna (Akiba et al., KDD 2019), by its tree of Parzen estimators for several
    objectives (Ozaki et al., GECCO 2020).

    Called again with the same `storage` and `name`, it goes on where it was, with every finished
    trial; a trial that was broken off is marked as failed and run again. Called by several
    processes, on one machine or more, it shares the trials among them.

    Args:
        build: From one value for each name of `space` to a new, compiled `MultiTaskModel`.
        train: Training rows, `Examples` or batches of `(inputs, labels)`.
        valid: Rows to judge by; not the test rows, which the best trial would be chosen by.
        space: What is tuned, `{name: tuning.Float | Int | Choice | Simplex}`.
        trials: How many trials the study has at the end, those of earlier calls and of other
            processes counted. It returns when none is left to begin.
        epochs: Passes over the training rows.
        batch_size: Rows a batch, of `Examples`; or a function that tells it from what `build` is
            given.
        storage: Where the study is kept: a database URL such as "sqlite:///tune.db", an Optuna
            storage, or None for the memory of this process.
        name: The study's name in the storage.
        seed: For what is proposed, and for the first weights and the order of rows, which are the
            same in every trial.
        prune: When a trial is given up early; None for never. A trial whose loss is not finite is
            given up in any case.
        callbacks: Makes the Keras callbacks of a trial, such as early stopping; `fit` then validates
            too, so that they see `val_<task>_<metric>`.
        sampler: An Optuna sampler in place of TPE.
        catch: Errors of `build` or of training that count as a failed trial; others are raised.
        progress: Called with a line for every trial.

    Returns:
        The trials and their Pareto front; prints as a table, draws itself, saves as JSON.

    Raises:
        ImportError: If Optuna is not installed.
        TypeError: If `space` is not a dict of parameters.
        ValueError: If a number is below 1, `build` returns something else than a compiled model whose
            outputs all have task objects, or the study that is there is another one's.
        OSError: If the storage cannot be opened.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mtl import build_model, data, encoders, tasks, tuning
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> rows = data.Examples({"x": x}, {"sum": x.sum(axis=1), "sign": (x[:, 0] > 0).astype(int)})
    >>> def build(p):
    ...     encoder = encoders.Dense(2, units=[p["units"]], input_name="x")
    ...     model = build_model(encoder, [tasks.Regression("sum"), tasks.Binary("sign")])
    ...     model.compile(keras.optimizers.Adam(0.01), loss_weights=p["weights"])
    ...     return model
    >>> found = tune(
    ...     build, rows, rows, trials=2, epochs=1,
    ...     space={"units": tuning.Int(2, 8), "weights": tuning.Simplex(["sum", "sign"])},
    ... )
    >>> sorted(found.best().parameters)
    ['units', 'weights']
    """
    space = check_space(space)
    _check_positive("trials", trials)
    _check_positive("epochs", epochs)
    shared = SharedStudy(storage, name, sampler, seed)
    told = {key: parameter.to_dict() for key, parameter in space.items()}
    known = shared.agreed()
    judged = known["tasks"] if known else _judged(build(_proposed(space, FirstOf())))
    shared.join({"tasks": judged, "space": told, "epochs": epochs})
    work = functools.partial(
        _train, build=build, judged=judged, epochs=epochs, batch_size=batch_size, seed=seed,
        callbacks=callbacks, train=train, valid=valid,
        falls_behind=functools.partial(_falls_behind, prune, shared, judged),
    )  # fmt: skip
    tell = progress or (lambda line: None)
    while (trial := shared.claim(trials)) is not None:
        begun = time.perf_counter()
        parameters: dict[str, Any] = {}
        try:
            with shared.signs_of_life(trial):
                parameters = _proposed(space, trial)
                plain = {key: space[key].told(value) for key, value in parameters.items()}
                trial.set_user_attr("parameters", plain)
                scores, given_up = work(trial, parameters)
                trial.set_user_attr("seconds", time.perf_counter() - begun)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if not isinstance(error, catch):
                shared.withdraw(trial, reason)
                raise
            shared.fail(trial, reason)
            tell(f"trial {trial.number} failed: {reason}")
            continue
        except BaseException:
            # Ctrl-C: its parameters are the first to be run when the study goes on.
            shared.run_again(trial, "broken off")
            raise
        if given_up:
            shared.give_up(trial, given_up)
            tell(f"trial {trial.number} given up: {given_up}")
        else:
            shared.finish(trial, [scores[task] for task in judged])
            shown = ", ".join(f"{t} {judged[t]['metric']} {scores[t]:.4f}" for t in judged)
            tell(f"trial {trial.number}: {shown} ({time.perf_counter() - begun:.1f} s)")
        gc.collect()
    return _result(shared, judged, space)


def _train(
    trial: Any,
    parameters: dict[str, Any],
    *,
    build: Callable[[dict[str, Any]], Any],
    judged: Mapping[str, Any],
    epochs: int,
    batch_size: int | Callable[[dict[str, Any]], int],
    seed: int,
    callbacks: Callable[[], Sequence[Any]] | None,
    train: Any,
    valid: Any,
    falls_behind: Callable[[list[dict[str, float]]], bool],
) -> tuple[dict[str, float], str | None]:
    """The scores of a trial's model after its last epoch, and why it was given up, if it was."""
    rows = batch_size(parameters) if callable(batch_size) else batch_size
    _check_positive("batch_size", rows)
    # First, for TensorFlow's order of rows depends on this seed too.
    keras.utils.set_random_seed(seed)
    train, valid = _batches(train, rows, seed), _batches(valid, rows, None)
    model = build(parameters)
    if _judged(model) != judged:
        raise ValueError(
            f"`build` returned a model of the tasks {_judged(model)}, but the study is of "
            f"{dict(judged)}; all trials must have the same tasks and metrics."
        )

    def judge(now: Any) -> dict[str, float]:
        report = evaluate(now, valid)
        missing = [task for task in judged if task not in report.scores]
        if missing:
            raise ValueError(f"The validation rows hold no label of the tasks {missing}.")
        return {task: float(report[task][judged[task]["metric"]]) for task in judged}

    watch = Watch(trial, judge, falls_behind)
    try:
        model.fit(
            train,
            validation_data=valid if callbacks else None,
            epochs=epochs,
            callbacks=[*(callbacks() if callbacks else []), watch],
            verbose=0,
        )
    except FloatingPointError as error:
        # As the model was compiled, it has refused a step.
        return {}, str(error)
    if watch.given_up:
        return {}, watch.given_up
    # Callbacks may have brought back the weights of an earlier epoch.
    scores = judge(model) if callbacks else watch.curve[-1]
    lost = [task for task, value in scores.items() if not math.isfinite(value)]
    return scores, f"the score of {lost} is not defined" if lost else None


def _check_positive(argument: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{argument}` is {value!r}; expected a whole number of 1 or more.")


def _judged(model: Any) -> dict[str, dict[str, Any]]:
    """The objectives that a model has: by task its main metric, and whether more is better."""
    if not isinstance(model, MultiTaskModel) or not model.compiled:
        lacking = " that is not compiled" if isinstance(model, MultiTaskModel) else ""
        raise ValueError(
            f"`build` returned a {type(model).__name__}{lacking}; expected a MultiTaskModel on which "
            "`compile` was called."
        )
    plain = [task for task in model.task_names if task not in model.tasks]
    if plain:
        raise ValueError(
            f"The outputs {plain} have no task object that could judge them; describe them with "
            "MultiTaskModel(..., tasks=[...])."
        )
    return {
        name: {"metric": task.main_metric, "higher_is_better": bool(task.higher_is_better)}
        for name, task in model.tasks.items()
    }


def _proposed(space: Mapping[str, Parameter], trial: Any) -> dict[str, Any]:
    return {name: parameter.suggest(trial, name) for name, parameter in space.items()}


def _falls_behind(
    prune: Pruning | None,
    shared: SharedStudy,
    judged: Mapping[str, Any],
    curve: list[dict[str, float]],
) -> bool:
    if prune is None:
        return False
    complete = shared.optuna.trial.TrialState.COMPLETE
    finished = [
        from_json(trial.user_attrs[CURVE])
        for trial in shared.trials()
        if trial.state == complete and CURVE in trial.user_attrs
    ]
    return prune.falls_behind(
        curve, finished, {task: judged[task]["higher_is_better"] for task in judged}
    )


def _batches(data: Any, batch_size: int, seed: int | None) -> Any:
    """Batches; in a new order each epoch where there is a seed."""
    if not isinstance(data, Examples):
        return data
    shuffle = seed is not None
    bucket = shuffle and any(isinstance(column, Sequences) for column in data.inputs.values())
    return data.dataset(batch_size, shuffle=shuffle, seed=seed, bucket=bucket)


def _result(
    shared: SharedStudy, judged: Mapping[str, Any], space: Mapping[str, Parameter]
) -> Tuning:
    names = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
    found = []
    for trial in shared.trials():
        told = trial.user_attrs
        parameters = {n: space[n].value(v) for n, v in told.get("parameters", {}).items()}
        state = names.get(trial.state.name, trial.state.name.lower())
        values = trial.values if state == "finished" else ()
        found.append(
            Trial(
                number=trial.number,
                state=state,
                parameters=parameters,
                scores=dict(zip(judged, values, strict=False)),
                curve=from_json(told.get(CURVE, "[]")),
                seconds=told.get("seconds"),
                reason=told.get("reason"),
            )
        )
    return Tuning(
        {task: judged[task]["metric"] for task in judged},
        {task: judged[task]["higher_is_better"] for task in judged},
        space,
        found,
        shared.study,
    )
