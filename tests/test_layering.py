"""Who may import whom: the arrows of the design, read from the imports themselves."""

import ast
import pathlib

import pytest

import keras_mtl

ROOT = pathlib.Path(keras_mtl.__file__).parent
CONCEPTS = {"tasks", "encoders", "sharing", "balancing", "alignment"}
# What a top-level part may import besides the foundation (names that begin with "_" and `joint`).
ALLOWED = {
    "build": {"tasks", "alignment", "encoders", "fairness", "sharing", "model"},
    "model": {"balancing"},
    "joint": set(),
    "data": set(),
    "datasets": {"data"},
    "evaluation": {"data"},
    "export": {"data", "evaluation"},
    "serving": set(),
    "reporting": {"_config_file", "_run", "data", "evaluation"},
    "tuning": {
        "_config_file",
        "_run",
        "balancing",
        "callbacks",
        "config",
        "data",
        "evaluation",
        "model",
        "sharing",
    },
    "fairness": {"alignment"},
    "transfer": {"evaluation"},
    "callbacks": {"data"},
    "config": set(),
    "_config_file": {"config"},
    "_answers": {"data"},
    "_run": {"build", "callbacks", "config", "data", "datasets", "encoders", "model", "tasks"},
    **{name: set() for name in CONCEPTS},
}
FOUNDATION = {
    "_labels", "_names", "_prediction", "_gradients", "_graph", "_losses", "_metrics", "_compile",
    "_door", "_forward", "_functional", "_seeds", "_epochs", "_by_name", "_version", "joint",
    "_combination", "_replicas", "_dense_gradients", "_domains", "_freezing", "_layers_by_name", "_lora",
    "_identifier", "_relations", "_extra", "_optimizer_step", "_soundness", "_step", "_run_files",
    "_input_gradients", "_closing", "_run_lock",
}  # fmt: skip
TENSORFLOW = {
    "_gradients.py", "_dense_gradients.py", "_replicas.py", "_optimizer_step.py", "_input_gradients.py",
    "data", "callbacks", "export", "serving",
}  # fmt: skip


def imports(path: pathlib.Path) -> set[str]:
    """The modules that a file imports, in full."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "keras_mtl":
                found |= {f"keras_mtl.{alias.name}" for alias in node.names}
    return found


def part_of(path: pathlib.Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


FILES = sorted(p for p in ROOT.rglob("*.py") if p.relative_to(ROOT) != pathlib.Path("__init__.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_what_its_part_may(path):
    part = part_of(path)
    targets = {name.split(".")[1] for name in imports(path) if name.startswith("keras_mtl.")}
    if part == "cli":
        return
    assert "cli" not in targets, "nothing imports the command line"
    others = targets - FOUNDATION - {part}
    if part in FOUNDATION:
        assert not others, f"the foundation knows nothing above it, but imports {others}"
    else:
        assert others <= ALLOWED[part], f"{part} must not import {others - ALLOWED[part]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_tensorflow_is_named_where_the_design_allows_it(path):
    if any(name.split(".")[0] == "tensorflow" for name in imports(path)):
        assert path.relative_to(ROOT).parts[0] in TENSORFLOW


def test_every_file_says_what_it_is_for_and_stays_readable():
    for path in FILES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path} has no docstring"
        assert path.read_text().count("\n") <= 420, f"{path}: a second reason to exist?"
        assert path.stem not in {"utils", "helpers", "common", "misc"}


def test_the_graph_does_not_name_private_keras_modules():
    for path in FILES:
        assert not any(name.startswith("keras.src") for name in imports(path)), path
