"""Machine-made mutants of a solution: one small mistake each, made on the syntax tree."""

from __future__ import annotations

import ast
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grader.logic.stub import FUNCTIONS, Function, docstring_of, parse, the_definition

SNIPPET = 110
CONTEXT = 12

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_SWAPS = """
    max min, amax amin, nanmax nanmin, argmax argmin, maximum minimum, sum mean, std var, any all, floor ceil,
    zeros ones, zeros_like ones_like, triu tril, isfinite isnan, isposinf isneginf, logical_and logical_or,
    exp exp2, log log2, sin cos, cumsum cumprod, argsort sort
"""
SWAPS = dict(pair for text in _SWAPS.split(",") for pair in (text.split(), text.split()[::-1]))
PLAIN_SWAPS = {"max", "min", "any", "all"}
AXIS_NAMES = {"axis", "axis1", "axis2", "axes", "dim", "dims"}
_SYMMETRIC = """
    swapaxes maximum minimum max min isclose allclose array_equal result_type promote_types broadcast_shapes
    logical_and logical_or logical_xor add multiply hypot gcd lcm isinstance issubclass getattr hasattr
"""
SYMMETRIC = set(_SYMMETRIC.split())
_KEEPS_ARGUMENT = "range len isinstance issubclass enumerate zip iter next super type print id repr str open"
KEEPS_ARGUMENT = set(_KEEPS_ARGUMENT.split())
_PASSES_THROUGH = "swapaxes moveaxis transpose triu tril roll flip clip nan_to_num cumsum sort"
PASSES_THROUGH = set(_PASSES_THROUGH.split())
ERRORS = {"TypeError": "ValueError", "ValueError": "TypeError", "IndexError": "TypeError", "KeyError": "TypeError"}
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_params", "msg", "type", "pattern"}
_SIMPLE = (ast.Expr, ast.Return, ast.Assert, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)
_DROPPED = (ast.Expr, ast.Return, ast.Raise, ast.Assert, ast.Delete, ast.Continue, ast.Break, ast.AugAssign)


@dataclass(frozen=True)
class Mutant:
    """A solution with one small mistake in ``function``.

    ``name`` is ``function: what -> what``, with `` #2`` and so on for repetitions within the function; it does not
    depend on line numbers, formatting, or anything outside the function.
    """

    name: str
    function: str
    description: str
    source: str


def mutants(source: str, functions: Sequence[str]) -> list[Mutant]:
    """All mutants of the named functions and methods, in order of ``functions`` and of the text.

    Mutated are operators, comparisons, conditions, numbers, booleans, infinities, axes, slices, defaults,
    arguments, well-known pairs of functions, errors' types and statements; not docstrings, other texts,
    annotations, decorators and error messages. Every source compiles, none says the same as the
    solution or another mutant, and the text outside the mutated function is the solution's.
    Raises CourseError for a name that is not defined exactly once.
    """
    tree = parse(source)
    modules = _imported(tree)
    lines = source.split("\n")
    return [
        mutant
        for name in dict.fromkeys(functions)
        for mutant in _mutants_of(the_definition(tree, name), name, lines, modules)
    ]


def _mutants_of(node: Function, name: str, lines: list[str], modules: set[str]) -> Iterator[Mutant]:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    before, after = lines[: first - 1], lines[node.end_lineno :]
    seen = {ast.unparse(node)}
    names: Counter[str] = Counter()
    for place in _places(node, _Scope(modules, set())):
        for new in _alternatives(place):
            text = place.mutated(node, new)
            if text in seen or not _compiles(text):
                continue
            seen.add(text)
            description = _description(place, new)
            names[description] += 1
            label = description if names[description] == 1 else f"{description} #{names[description]}"
            written = textwrap.indent(text, " " * node.col_offset)
            yield Mutant(f"{name}: {label}", name, description, "\n".join([*before, written, *after]))


@dataclass
class _Scope:
    """What is known on the way down: imported modules and names bound so far."""

    modules: set[str]
    bound: set[str]


@dataclass
class _Place:
    """A node of the function's tree and where it hangs; ``above`` is its parent's place."""

    node: ast.AST
    parent: ast.AST
    above: _Place | None
    field: str
    index: int | None
    axis: bool
    scope: _Scope

    def mutated(self, whole: ast.AST, new: ast.AST) -> str:
        """The text of a tree that this place is in, with ``new`` in this place."""
        self._put(new)
        try:
            return _text(whole)
        finally:
            self._put(self.node)

    def _put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _places(parent: ast.AST, scope: _Scope, above: _Place | None = None) -> Iterator[_Place]:
    """Every place below a node that may be mutated, from the outside in, in order of the text."""
    if isinstance(parent, (*FUNCTIONS, ast.Lambda)):
        scope.bound.update(argument.arg for argument in ast.walk(parent.args) if isinstance(argument, ast.arg))
    docstring = docstring_of(parent) if isinstance(parent, FUNCTIONS) else None
    for field, index, node in _children(parent):
        if node is docstring or isinstance(node, (ast.JoinedStr, ast.arg)):
            continue
        axis = _on_axis(parent, field, index, above is not None and above.axis)
        place = _Place(node, parent, above, field, index, axis, scope)
        yield place
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            scope.bound.add(node.id)
        if isinstance(node, FUNCTIONS):
            scope.bound.add(node.name)
        if _literal(node) is None:
            yield from _places(node, scope, place)


def _children(parent: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    if isinstance(parent, ast.Raise):
        return
    for field, value in ast.iter_fields(parent):
        if field in _SKIPPED_FIELDS:
            continue
        if isinstance(value, ast.AST):
            yield field, None, value
        elif isinstance(value, list):
            yield from ((field, index, node) for index, node in enumerate(value) if isinstance(node, ast.AST))


def _on_axis(parent: ast.AST, field: str, index: int | None, above: bool) -> bool:
    if isinstance(parent, ast.keyword):
        return parent.arg in AXIS_NAMES
    if isinstance(parent, ast.arguments):
        return _parameter(parent, field, index).arg in AXIS_NAMES
    return above and isinstance(parent, (ast.Tuple, ast.List, ast.IfExp))


def _alternatives(place: _Place) -> Iterator[ast.AST]:
    """What could stand in this place instead."""
    node, parent = place.node, place.parent
    if _is_condition(place):
        yield from (ast.Constant(value) for value in (True, False) if not (value and isinstance(parent, ast.While)))
    if isinstance(node, ast.stmt):
        yield from _other_statements(node, place)
    elif isinstance(node, ast.keyword):
        return
    elif (value := _literal(node)) is not None:
        yield from _other_literals(value, place.axis)
    elif isinstance(node, ast.expr):
        yield from _other_expressions(node, place)


def _is_condition(place: _Place) -> bool:
    if place.field == "test":
        return isinstance(place.parent, (ast.If, ast.IfExp, ast.While))
    return place.field == "ifs"


def _other_statements(node: ast.stmt, place: _Place) -> Iterator[ast.stmt]:
    if isinstance(node, ast.AugAssign):
        if (other := OPERATORS.get(type(node.op))) is not None:
            yield ast.AugAssign(node.target, other(), node.value)
        yield ast.Assign([node.target], node.value, lineno=0)
    if isinstance(node, ast.Raise) and isinstance(node.exc, (ast.Call, ast.Name)):
        yield from _other_errors(node)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if _is_assignment(node) else None
    if isinstance(node, _DROPPED) or (targets is not None and _stays_bound(targets, place.scope.bound)):
        yield ast.Pass()


def _is_assignment(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and node.value is not None


def _stays_bound(targets: list[ast.expr], bound: set[str]) -> bool:
    stored = {
        part.id
        for target in targets
        for part in ast.walk(target)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    return stored <= bound


def _other_errors(node: ast.Raise) -> Iterator[ast.stmt]:
    error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    other = ERRORS.get(error.id) if isinstance(error, ast.Name) else None
    if other:
        name = ast.Name(other, ast.Load())
        exc = ast.Call(name, node.exc.args, node.exc.keywords) if isinstance(node.exc, ast.Call) else name
        yield ast.Raise(exc, node.cause)


def _literal(node: ast.AST) -> Any:
    """The value of a number or boolean as it is written, its minus sign included; else None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, (int, float, complex)) and not isinstance(value, bool) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float, complex)):
        return node.value
    return None


def _other_literals(value: Any, axis: bool) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        others = [not value]
    elif axis and isinstance(value, int):
        others = [value - 1, value + 1]
    else:
        others = [value + 1 if value + 1 != value else value * 2]
        others += [-value] if value != 0 else []
        others += [value - 1] if isinstance(value, int) and value < 0 else []
    return map(_written, others)


def _written(value: Any) -> ast.expr:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def _other_expressions(node: ast.expr, place: _Place) -> Iterator[ast.expr]:
    if (
        place.axis
        and isinstance(place.parent, ast.keyword)
        and not isinstance(node, (ast.Tuple, ast.List, ast.Constant))
    ):
        yield from (_written(-1), _written(0))
    if isinstance(place.parent, ast.Slice) and place.field in ("lower", "upper"):
        yield ast.BinOp(node, ast.Add(), ast.Constant(1))
    if isinstance(node, ast.BinOp):
        is_text = isinstance(node.left, ast.Constant) and isinstance(node.left.value, (str, bytes))
        if (other := OPERATORS.get(type(node.op))) is not None and not is_text:
            yield ast.BinOp(node.left, other(), node.right)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                yield ast.Compare(node.left, [*node.ops[:number], other(), *node.ops[number + 1 :]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for number in range(len(node.values)):
            rest = node.values[:number] + node.values[number + 1 :]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, (ast.Name, ast.Attribute)):
        yield from _other_names(node, place)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node, place)


def _other_names(node: ast.Name | ast.Attribute, place: _Place) -> Iterator[ast.expr]:
    if not isinstance(node.ctx, ast.Load):
        return
    called = place.field == "func"
    if isinstance(node, ast.Name):
        if called and node.id in PLAIN_SWAPS:
            yield ast.Name(SWAPS[node.id], ast.Load())
        infinite = node.id in ("inf", "infty") and "inf" not in place.scope.bound
    else:
        if node.attr in SWAPS:
            yield ast.Attribute(node.value, SWAPS[node.attr], ast.Load())
        if node.attr in ("T", "mT"):
            yield node.value
        infinite = node.attr == "inf"
    if infinite and not isinstance(place.parent, ast.UnaryOp):
        yield ast.UnaryOp(ast.USub(), node)


def _other_calls(node: ast.Call, place: _Place) -> Iterator[ast.expr]:
    name = _called(node)
    plain = not any(isinstance(argument, ast.Starred) for argument in node.args)
    if name == "float" and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
        if not isinstance(place.parent, ast.UnaryOp):
            yield ast.UnaryOp(ast.USub(), node)
        return
    receiver = _receiver(node, place.scope.modules)
    if receiver is not None and not isinstance(place.parent, ast.Expr):
        yield receiver
    passes = len(node.args) == 1 or (len(node.args) > 1 and name in PASSES_THROUGH)
    if receiver is None and plain and passes and name not in KEEPS_ARGUMENT:
        yield node.args[0]
    if plain and len(node.args) == 2 and name not in SYMMETRIC:
        yield ast.Call(node.func, node.args[::-1], node.keywords)
    if plain and len(node.args) == 3 and name == "where":
        yield ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], node.keywords)
    for keyword in node.keywords:
        if keyword.arg in AXIS_NAMES:
            yield ast.Call(node.func, node.args, [other for other in node.keywords if other is not keyword])


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _receiver(node: ast.Call, modules: set[str]) -> ast.expr | None:
    """What a method is called on; None for functions, functions of modules and the own class's methods."""
    if not isinstance(node.func, ast.Attribute):
        return None
    root: ast.AST = node.func.value
    if isinstance(root, ast.Constant) or (isinstance(root, ast.Name) and root.id in ("self", "cls")):
        return None
    while isinstance(root, ast.Attribute):
        root = root.value
    return None if isinstance(root, ast.Name) and root.id in modules else node.func.value


def _imported(tree: ast.Module) -> set[str]:
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }


def _description(place: _Place, new: ast.AST) -> str:
    """What becomes what, with as much around it as makes it readable."""
    if isinstance(place.node, ast.stmt):
        return _change(_text(place.node), _text(new))
    whole = place
    while _is_scrap(whole.node) and whole.above is not None and _fits(whole.above.node):
        whole = whole.above
    name = _default_of(whole)
    before, after = _text(whole.node), place.mutated(whole.node, new) if whole is not place else _text(new)
    return _change(name + before, name + after)


def _default_of(place: _Place) -> str:
    """``name=`` for a parameter's default, else nothing."""
    if not isinstance(place.parent, ast.arguments):
        return ""
    return f"{_parameter(place.parent, place.field, place.index).arg}="


def _parameter(arguments: ast.arguments, field: str, index: int) -> ast.arg:
    if field == "kw_defaults":
        return arguments.kwonlyargs[index]
    positional = [*arguments.posonlyargs, *arguments.args]
    return positional[len(positional) - len(arguments.defaults) + index]


def _is_scrap(node: ast.AST) -> bool:
    """Whether a node's text says too little by itself."""
    return isinstance(node, (ast.keyword, ast.Slice, ast.Tuple)) or len(_text(node)) < CONTEXT


def _fits(node: ast.AST) -> bool:
    """Whether a node has a text of its own, of one line."""
    whole = (ast.stmt, ast.comprehension, ast.ExceptHandler, ast.arguments)
    return not isinstance(node, whole) or isinstance(node, _SIMPLE)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return f"raise {ast.unparse(node.exc.func)}(…)"
    return ast.unparse(node)


def _change(before: str, after: str) -> str:
    before, after = " ".join(before.split()), " ".join(after.split())
    return f"{before} -> {after}" if len(before) + len(after) <= SNIPPET else _where_they_differ(before, after)


def _where_they_differ(before: str, after: str) -> str:
    """Both texts cut down to the part that differs and a little on either side."""
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    return f"{_window(before, head, tail)} -> {_window(after, head, tail)}"


def _window(text: str, head: int, tail: int, margin: int = 20, most: int = 60) -> str:
    start, end = max(0, head - margin), min(len(text), len(text) - tail + margin)
    middle = text[start:end]
    if len(middle) > most:
        middle = f"{middle[: most // 2]}…{middle[-most // 2 :]}"
    return f"{'…' if start else ''}{middle}{'…' if end < len(text) else ''}"


def _compiles(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "mutant", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True
