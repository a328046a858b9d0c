"""No file of the package imports, directly or through others, a file that imports it."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tied_augment

PACKAGE = Path(tied_augment.__file__).parent


def name_of(path):
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def packages_of(name):
    parts = name.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def statements(tree):
    """All nodes that run, at import or in functions: not those for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from statements(node)


def imported(name):
    """The files that are imported with a file or by its functions."""
    found = set()
    for node in statements(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {one if one in MODULES else node.module for one in whole}
    # A package's own file runs before the files in it, which are not held against it.
    found |= {package for one in found for package in packages_of(one)}
    return (found & MODULES.keys()) - packages_of(name) - {name}


def test_there_is_no_circle():
    graph = {name: imported(name) for name in MODULES}
    assert sum(len(edges) for edges in graph.values()) > 100
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports go in a circle: " + " <- ".join(error.args[1]))
