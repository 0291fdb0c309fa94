"""Whether the rows of a call can change each other's answers, read from the graph.

Requests may share a call only where they cannot. A graph that pads inside (texts that it splits into
words, records of free length that it parses) makes a short row as long as the longest one beside it,
so its answer comes back longer, or changed by what is not masked. Padding to a length that the graph
itself says does no harm: the first characters of each word, for instance.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

# What brings rows of different length to one length.
_PADDING = {
    "RaggedTensorToTensor",
    "RaggedTensorToSparse",
    "SparseToDense",
    "StringSplit",
    "StringSplitV2",
}


def independent_rows(graph: Any, outputs: Iterable[str]) -> bool:
    """Whether what leads to these tensors never pads one row to another's length.

    Args:
        graph: A GraphDef.
        outputs: Names of tensors, such as `"StatefulPartitionedCall:0"`.
    """
    return not any(_pads(node, beside) for node, beside in _leading_to(graph, outputs))


def _pads(node: Any, beside: Mapping[str, Any]) -> bool:
    if node.op.startswith("ParseExample"):
        # Lists of free length are padded by the parser itself.
        shapes = node.attr["dense_shapes"].list.shape
        return any(d.size < 0 for shape in shapes for d in shape.dim)
    if node.op == "RaggedTensorToTensor":
        return not _says_its_length(beside.get(_node(node.input[0])))
    return node.op in _PADDING


def _says_its_length(shape: Any) -> bool:
    """Whether the node is a constant shape of which only the number of rows is left open."""
    if shape is None or shape.op != "Const":
        return False
    sizes = tf.make_ndarray(shape.attr["value"].tensor)
    return bool(sizes.ndim and (sizes[1:] >= 0).all())


def _leading_to(graph: Any, outputs: Iterable[str]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The nodes that the tensors need, each with those beside it by name; also inside of functions."""
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    waiting, seen = [nodes[_node(name)] for name in outputs], set()
    called: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name in seen:
            continue
        seen.add(node.name)
        yield node, nodes
        called |= _functions(node)
        waiting += [nodes[_node(name)] for name in node.input if _node(name) in nodes]
    done: set[str] = set()
    while called - done:
        name = (called - done).pop()
        done.add(name)
        inside = {n.name: n for n in functions[name].node_def} if name in functions else {}
        for node in inside.values():
            yield node, inside
            called |= _functions(node)


def _node(tensor: str) -> str:
    return tensor.lstrip("^").split(":")[0]


def _functions(node: Any) -> set[str]:
    # A function can also be called by the name of its operation.
    return {node.op} | {
        function.name
        for attr in node.attr.values()
        for function in [attr.func, *attr.list.func]
        if function.name
    }
