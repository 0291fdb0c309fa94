"""Whether the run in a folder is the one that is to go on: the same data, seed and configuration."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_mtl._run_files import Run

# Where output goes, and what tuning tries, is no part of a run.
_APART = ("output", "tuning")


def configuration(given: Any) -> str | None:
    """A configuration as YAML.

    Args:
        given: The path of a YAML file, a dict, or None.

    Raises:
        TypeError: If it is something else.
        OSError: If the file cannot be read.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        import yaml

        return yaml.safe_dump(dict(given), sort_keys=False, allow_unicode=True)
    if isinstance(given, (str, os.PathLike)):
        return pathlib.Path(given).read_text(encoding="utf-8")
    raise TypeError(
        f"`config` of RunFolder is a {type(given).__name__}; expected the path of a YAML file, or a dict."
    )


def refuse_another(run: Run, about: Mapping[str, Any], config: str | None) -> None:
    """Compares a run with what is to go on with it; what either does not tell is taken for the same.

    Args:
        run: The run in the folder.
        about: What `run.json` is to tell now.
        config: The configuration now, as YAML.

    Raises:
        ValueError: If they differ; it says in what.
    """
    folder, anew = str(run.path), "or begin anew with resume=False or in another folder"
    had, has = (told.get("data", {}).get("fingerprint") for told in (run.about, about))
    if had is not None and has is not None and had != has:
        raise ValueError(
            f"The run in {folder!r} was begun on other data: their fingerprint is {had[:12]}, and that "
            f"of `data` now is {has[:12]}; give the same rows in the same order, {anew}."
        )
    before, now = run.about.get("seed"), about.get("seed")
    if before is not None and now is not None and before != now:
        raise ValueError(
            f"The run in {folder!r} was begun with the seed {before}, and `seed` now is {now}; give the "
            f"same, {anew}."
        )
    if run.config_file is None or config is None:
        return
    import yaml

    told = yaml.safe_load(run.config_file.read_text(encoding="utf-8"))
    changed = _differing(told, yaml.safe_load(config))
    if changed:
        raise ValueError(
            f"The run in {folder!r} was begun with another configuration: {', '.join(changed)} differ; "
            f"take that of {run.config_file}, {anew}."
        )


def _differing(before: Any, after: Any, place: str = "") -> list[str]:
    """The dotted keys of two configurations that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in {**before, **after} if place or key not in _APART]
        return [
            changed
            for key in keys
            for changed in _differing(before.get(key), after.get(key), f"{place}.{key}".lstrip("."))
        ]
    return [] if before == after else [place or "all of it"]
