"""Names and argument lists of the whole package, read from its source."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import mfnet

PACKAGE = Path(mfnet.__file__).parent
MOST = 6
"""Parameters that a public function or method may take, `self` and `cls` not counted."""
DUNDERS = ("__init__", "__call__")


def modules() -> Iterator[tuple[str, ast.Module]]:
    """(path relative to the package, syntax tree) of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def public_functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef, bool]]:
    """(dotted name, function, whether it is a method) of what others can call; functions in functions are private."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name in DUNDERS):
            yield f"{prefix}{node.name}", node, bool(prefix)


def is_decorated(function: ast.FunctionDef, name: str) -> bool:
    """Whether `@name` stands above a function."""
    return any(isinstance(decorator, ast.Name) and decorator.id == name for decorator in function.decorator_list)


def parameters(function: ast.FunctionDef, method: bool) -> list[str]:
    """Names of the parameters of a function, without the first of a method."""
    listed = function.args
    names = [parameter.arg for parameter in (*listed.posonlyargs, *listed.args, *listed.kwonlyargs)]
    return names[1:] if method and not is_decorated(function, "staticmethod") else names


def test_no_public_function_takes_more_than_six_arguments():
    """Compiled kernels may: numba takes arrays and numbers, and only the functions beside them call them. So may the
    functions that are commands: their parameters are the options of the command line."""
    long = [
        f"{path}: {name}({', '.join(parameters(function, method))})"
        for path, tree in modules()
        for name, function, method in public_functions(tree.body)
        if not path.startswith("cli/")
        if len(parameters(function, method)) > MOST and not is_decorated(function, "kernel")
    ]
    assert not long, "\n".join(["group what belongs together into one type:", *long])


def test_no_two_classes_have_one_name():
    homes = defaultdict(list)
    for path, tree in modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path)
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert not twice, f"one name, two types: {twice}"
