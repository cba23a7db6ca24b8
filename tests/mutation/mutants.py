"""Mutants of a module: cosmic-ray's operators, less what cannot or need not be told apart.

A mutant is the module's text with one operator applied once. Those that differ in annotations or
docstrings alone are left out: nothing reads them at run time. An arithmetic operator is replaced
by one or two others and not by all eleven, a comparison by its neighbour and its opposite: what
kills these kills the rest. `is` for `==` on an enum or a literal is no change at all.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

BINARY = {
    "Add": ("Sub",),
    "Sub": ("Add",),
    "Mul": ("Add", "FloorDiv"),
    "Div": ("Mul", "FloorDiv"),
    "FloorDiv": ("Mul", "Div"),
    "Mod": ("FloorDiv",),
    "Pow": ("Mul",),
    "BitOr": ("BitAnd",),
    "BitAnd": ("BitOr",),
    "RShift": ("LShift",),
    "LShift": ("RShift",),
}
COMPARISON = {
    "Lt": ("LtE", "GtE"),
    "LtE": ("Lt", "Gt"),
    "Gt": ("GtE", "LtE"),
    "GtE": ("Gt", "Lt"),
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
    "In": ("NotIn",),
    "NotIn": ("In",),
}
WANTED = frozenset(
    [f"ReplaceBinaryOperator_{a}_{b}" for a, others in BINARY.items() for b in others]
    + [f"ReplaceComparisonOperator_{a}_{b}" for a, others in COMPARISON.items() for b in others]
)
# The variable operators need a name to put in: what they make, a type checker refuses.
LEFT_OUT = frozenset({"VariableReplacer", "VariableInserter", "NoOp"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where it is, the line before and after, the statement and the whole text."""

    module: str
    operator: str
    line: int
    before: str
    after: str
    statement: tuple[str, str]  # the module's one that changes, without and with it
    source: str

    @property
    def name(self) -> str:
        """What identifies it in the list of survivors: the two lines, not their number."""
        return f"{self.before}  ->  {self.after}"


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Make every mutant of a module's text, each once however many operators lead to it.

    Statement by statement of the module: a short text is parsed in a fiftieth of the time.
    """
    lines = source.splitlines(keepends=True)
    annotated = "pydantic" in source  # it reads its models' annotations: there they are behaviour
    for first, last in _statements(source):
        text = "".join(lines[first:last])
        for operator, changed in _changes(text, annotated=annotated):
            whole = "".join(lines[:first]) + changed + "".join(lines[last:])
            line, before, after = _difference(text, changed)
            yield Mutant(module, operator, first + line, before, after, (text, changed), whole)


def _statements(source: str) -> Iterator[tuple[int, int]]:
    """Return the lines of each statement of a module, decorators with what they decorate."""
    for node in ast.parse(source).body:
        decorators = getattr(node, "decorator_list", [])
        yield min(part.lineno for part in (node, *decorators)) - 1, node.end_lineno or node.lineno


def _changes(text: str, *, annotated: bool) -> Iterator[tuple[str, str]]:
    """Return the operators' names and what each makes of a statement."""
    seen = {_meaning(text, annotated=annotated)}
    nodes = list(ast_nodes(get_ast(text)))
    for full_name in sorted(plugins.operator_names()):
        name = full_name.removeprefix("core/")
        thinned = name.startswith(("ReplaceBinaryOperator_", "ReplaceComparisonOperator_"))
        if name in LEFT_OUT or (thinned and name not in WANTED):
            continue
        operator = plugins.get_operator(full_name)()
        for occurrence in range(sum(1 for n in nodes for _ in operator.mutation_positions(n))):
            changed = mutate_code(text, operator, occurrence)
            if changed is None:
                continue
            try:
                meaning = _meaning(changed, annotated=annotated)
            except SyntaxError:
                continue
            if meaning not in seen:
                seen.add(meaning)
                yield name, changed


def changed_functions(before: str, after: str) -> dict[str, CodeType] | None:
    """Return the code of the functions that differ, by qualified name; None if more than that.

    Takes a statement of a module without and with a change. A change outside of functions (a
    constant, a default, a class body) needs the module anew.
    """
    # annotations stay text: compile() inherits this module's __future__
    old, new = (compile(text, "<mutant>", "exec") for text in (before, after))
    found: dict[str, CodeType] = {}
    return found if _compared(old, new, found) else None


def _compared(old: CodeType, new: CodeType, found: dict[str, CodeType]) -> bool:
    """Tell whether two bodies of a module or class differ only in the functions they define."""
    olds, news = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (old, new))
    if len(olds) != len(news) or _frame(old) != _frame(new):
        return False
    for one, other in zip(olds, news, strict=True):
        if one == other:
            continue
        if one.co_flags & 0x02:  # a function (its names are fast locals), not a class body
            if one.co_freevars != other.co_freevars or "<" in one.co_name:
                return False
            found[one.co_qualname] = other
        elif not _compared(one, other, found):
            return False
    return True


def _frame(code: CodeType) -> tuple[Any, ...]:
    plain = tuple((type(c), repr(c)) for c in code.co_consts if not isinstance(c, CodeType))
    return (code.co_code, code.co_names, code.co_varnames, plain)


class _Bare(ast.NodeTransformer):
    """Takes annotations and docstrings out of a tree."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        node.annotation = ast.Constant(None)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        return node


def _meaning(text: str, *, annotated: bool) -> str:
    tree = ast.parse(text)
    return ast.dump(tree if annotated else _Bare().visit(tree))


def _difference(text: str, changed: str) -> tuple[int, str, str]:
    """Return the number of the first line that differs, and what it was and is."""
    old, new = text.splitlines(), changed.splitlines()
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            before = " ".join(line.strip() for line in old[a:b])
            return a + 1, before, " ".join(line.strip() for line in new[c:d])
    return 1, "", ""
