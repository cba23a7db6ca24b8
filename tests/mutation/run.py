"""Mutation testing of the money's rooms: does a test fail for every change of their code?

    make mutants                                  # all of them, some minutes of one core
    make mutants ONLY="agent/risk/limits.py"      # one file
    make mutants ONLY="agent/risk/limits.py tests/agent/risk"     # by these tests
    make mutants ONLY="--quick"                   # functions alone, and three examples a property

In one process: pytest collects the rooms' tests once and runs each while a profiler notes which
functions it calls; for each mutant a child is forked, the code objects of the changed functions
are exchanged in place, and the tests that call them run until one fails: first those that have
killed lately, then the quickest. A constant's new value is put wherever its name was imported,
a class gets its new defaults; if no test minds, and for every other change outside of functions,
the child imports all our modules anew. Hypothesis draws fewer examples, the same ones each time,
and does not shrink. A test that uses much more CPU time than it did hangs: its mutant is killed.

Nothing is kept but the table on stdout. Exit status 1 if a mutant survives that survivors.toml
does not explain, or a file falls below the share that must be killed.
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.util
import os
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.mutation.mutants import Mutant, changed_functions, mutants

ROOT = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).with_name("survivors.toml")
ROOMS = ("agent/risk", "agent/portfolio")
FILES = ("agent/market/charges.py", "agent/market/by_symbol.py")
TESTS = (
    "tests/agent/risk",
    "tests/agent/portfolio",
    "tests/agent/market/test_charges.py",
    "tests/agent/market/test_by_symbol.py",
)
LONG = "tests/agent/portfolio/test_month.py"  # a second a seed, and nothing that the others miss
NEAR = {  # the test files to try first where a module's are not called after it
    "agent/risk/book.py": ("guards", "entry"),
    "agent/risk/limits.py": ("entry", "guards"),
    "agent/risk/margin.py": ("guards", "entry"),
    "agent/portfolio/fiscal.py": ("roundtrips",),
    "agent/market/by_symbol.py": ("by_symbol", "sectors"),
}
EXAMPLES, EXAMPLES_OF_SLOW, EXAMPLES_QUICK = 12, 4, 3
SLOW_S = 0.3
CPU_S_ANEW = 60
Assignment = ast.Assign | ast.AnnAssign
KILLED_MIN = 0.90


class Swarm:
    """A pytest plugin: instead of running the tests once, runs them once a mutant."""

    def __init__(self, files: Sequence[str], *, verbose: bool, quick: bool) -> None:
        self.files, self.verbose, self.quick = files, verbose, quick
        self.survivors: dict[str, list[Mutant]] = {}
        self.calls: dict[str, set[tuple[str, str]]] = {}  # by test: files and functions
        self.taken: dict[str, float] = {}  # by test: CPU seconds
        self.counts: dict[str, int] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = [item for item in session.items if isinstance(item, pytest.Function)]
        for item in items:
            _fewer_examples(item, EXAMPLES_QUICK if self.quick else EXAMPLES)
        items = self._measured(items)
        gc.freeze()  # children share these pages
        for file in self.files:
            self._file(file, items)
        return True

    def _measured(self, items: list[pytest.Function]) -> list[pytest.Function]:
        """Return the tests, the quickest first; all of them must pass on the code as it is."""
        for item in items:
            seen: set[tuple[str, str]] = set()
            before = time.process_time()
            sys.setprofile(_noting(seen))
            passed = _passes(item)
            sys.setprofile(None)
            if not passed:
                raise pytest.UsageError(f"{item.nodeid} fails on the code as it is")
            self.taken[item.nodeid] = time.process_time() - before
            self.calls[item.nodeid] = seen
            if self.taken[item.nodeid] > SLOW_S:
                _fewer_examples(item, 1 if self.quick else EXAMPLES_OF_SLOW)
        return sorted(items, key=lambda item: self.taken[item.nodeid])

    def _calling(
        self, items: list[pytest.Function], file: str, functions: Iterable[str]
    ) -> list[pytest.Function]:
        wanted = {(str(ROOT / file), name) for name in functions}
        return [item for item in items if self.calls[item.nodeid] & wanted]

    def _killer(self, mutant: Mutant, items: list[pytest.Function]) -> str:
        """Return what kills a mutant, or nothing; to be called in a child."""
        module = mutant.module.removesuffix(".py").replace("/", ".")
        functions = changed_functions(*mutant.statement)
        if functions is not None and _exchange(sys.modules[module], functions):
            return self._failing(self._calling(items, mutant.module, functions))
        if _rebound(sys.modules[module], mutant) and (killer := self._failing(items)):
            return killer
        signal.setitimer(signal.ITIMER_PROF, CPU_S_ANEW)
        return "" if _survives_anew(mutant, module) else "anew"

    def _failing(self, items: Iterable[pytest.Function]) -> str:
        """Return the first test that fails, or nothing."""
        for item in items:
            signal.setitimer(signal.ITIMER_PROF, 2 + 5 * self.taken[item.nodeid])
            if not _passes(item):
                return item.nodeid
        return ""

    def _file(self, file: str, items: list[pytest.Function]) -> None:
        source = (ROOT / file).read_text(encoding="utf-8")
        started, alive, count = time.monotonic(), [], 0
        ordered = _near_first(items, file)
        for mutant in mutants(file, source):
            if self.quick and changed_functions(*mutant.statement) is None:
                continue
            count += 1
            killer = _in_child(lambda m=mutant: self._killer(m, ordered))
            if killer == "":
                alive.append(mutant)
                if self.verbose:
                    print(f"  lives: {file}:{mutant.line} {mutant.operator}: {mutant.name}",
                          flush=True)  # fmt: skip
            ordered.sort(key=lambda item: item.nodeid != killer)  # who killed once kills again
        self.survivors[file], self.counts[file] = alive, count
        share = 1 - len(alive) / count if count else 1.0
        print(f"{file:34} {count:5} mutants, {len(alive):4} live, killed {share:6.1%}, "
              f"{time.monotonic() - started:6.0f} s", flush=True)  # fmt: skip


def _noting(seen: set[tuple[str, str]]) -> Any:
    """Return a profiler that notes the functions of ours that are called."""
    prefix = str(ROOT / "agent")

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(prefix):
            seen.add((code.co_filename, code.co_qualname.partition(".<locals>")[0]))

    return note


def _fewer_examples(item: pytest.Function, most: int = EXAMPLES) -> None:
    function = item.obj
    if not getattr(function, "is_hypothesis_test", False):
        return
    own = getattr(function, "_hypothesis_internal_use_settings", settings())
    function._hypothesis_internal_use_settings = settings(
        own, max_examples=min(own.max_examples, most), derandomize=True, database=None,
        phases=(Phase.explicit, Phase.generate),
    )  # fmt: skip


def _near_first(items: list[pytest.Function], file: str) -> list[pytest.Function]:
    """Return the tests with those of the file's own test module first, order kept."""
    own = f"test_{Path(file).stem}.py"
    return sorted(items, key=lambda item: item.path.name != own)


def _passes(item: pytest.Function) -> bool:
    from _pytest.runner import runtestprotocol

    reports = runtestprotocol(item, nextitem=None, log=False)
    return not any(report.failed for report in reports)


def _in_child(question: Callable[[], str]) -> str:
    """Return a child's answer; one that dies or takes too long has answered "died"."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        gc.disable()
        try:
            answer = question()
            os.write(writer, f"said {answer}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as said:
        answer = said.read()
    os.waitpid(child, 0)
    return answer.removeprefix("said ") if answer else "died"


def _exchange(module: ModuleType, functions: dict[str, CodeType]) -> bool:
    """Put code into the module's functions where they are; False if one cannot be found."""
    known = dict(_functions(module))
    if not functions.keys() <= known.keys():
        return False
    for name, code in functions.items():
        if known[name].__code__.co_freevars != code.co_freevars:
            return False
        known[name].__code__ = code
    _forget(module)
    return True


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    for held in list(vars(module).values()):
        yield from _unwrapped(held, module)
        if isinstance(held, type) and held.__module__ == module.__name__:
            for inner in list(vars(held).values()):
                yield from _unwrapped(inner, module)


def _unwrapped(held: Any, module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    for part in (
        held,
        *(getattr(held, name, None) for name in ("fget", "func", "__func__", "__wrapped__")),
    ):
        if isinstance(part, FunctionType) and part.__module__ == module.__name__:
            yield part.__qualname__, part


def _rebound(module: ModuleType, mutant: Mutant) -> bool:
    """Put a changed constant or class, and what follows from it, wherever the name is known.

    False where that cannot be done. What took an old value as a default keeps it: only that a
    test fails is certain after this.
    """
    (changed,) = ast.parse(mutant.statement[1]).body
    old, space = dict(vars(module)), dict(vars(module))
    if isinstance(changed, ast.ClassDef) and not hasattr(old[changed.name], "model_fields"):
        exec(compile(mutant.statement[1], module.__name__, "exec"), space)
        new, space[changed.name] = space[changed.name], old[changed.name]  # its methods make these
        _remade(old[changed.name], new)
        return True
    if not isinstance(changed, Assignment):
        return False
    exec(compile(mutant.statement[1], module.__name__, "exec"), space)
    later = [n for n in ast.parse(mutant.source).body if n.lineno > mutant.line]
    follow: list[ast.stmt] = [n for n in later if isinstance(n, Assignment)]
    exec(compile(ast.Module(follow, []), module.__name__, "exec"), space)
    values = {n: v for n, v in space.items() if n in old and repr(v) != repr(old[n])}
    for name, where in list(sys.modules.items()):
        if name.partition(".")[0] in {"agent", "tests"}:
            known = vars(where)
            known.update({n: v for n, v in values.items() if n in known and known[n] is old[n]})
    _forget(module)
    return True


def _remade(old: type, new: type) -> None:
    """Give a class what its changed text makes of it; its instances stay its own."""
    kinds = (FunctionType, property, classmethod, staticmethod)
    params = "__dataclass_params__"
    ours = {
        n: v for n, v in vars(old).items() if isinstance(v, kinds) or n in {params, "__slots__"}
    }
    theirs = vars(new)
    for name, held in ours.items():
        if name not in theirs:
            delattr(old, name)
        elif isinstance(held, kinds) and name not in {"__setattr__", "__delattr__"}:
            setattr(old, name, theirs[name])
    if params in theirs:
        setattr(old, params, theirs[params])


def _forget(module: ModuleType) -> None:
    for held in vars(module).values():
        if hasattr(held, "cache_clear"):
            held.cache_clear()


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a text."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(name, self) if name == self.module else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, self.module, "exec"), vars(module))


def _survives_anew(mutant: Mutant, module: str) -> bool:
    """Import everything of ours again with the mutant in its place, and run the tests."""
    for name in [n for n in sys.modules if n.split(".")[0] in {"agent", "tests"}]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Changed(module, mutant.source))
    names = NEAR.get(mutant.module, (Path(mutant.module).stem,))
    near = [str(path) for name in (("values",) if mutant.before.startswith("@") else names)
            for path in (ROOT / "tests/agent").glob(f"*/test_{name}.py")]  # fmt: skip
    for paths in (near, [str(ROOT / path) for path in TESTS]):
        if paths and pytest.main(
            ["-x", "--tb=native", "-p", "no:cacheprovider", f"--ignore={ROOT / LONG}", *paths],
            plugins=[_Quicker()],
        ):
            return False
    return True


class _Quicker:
    """A pytest plugin: fewer examples, plain tests before the drawn ones."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = [item for item in items if isinstance(item, pytest.Function)]
        for item in found:
            _fewer_examples(item)
        items.sort(key=lambda i: getattr(getattr(i, "obj", None), "is_hypothesis_test", False))


def explained() -> dict[str, dict[str, str]]:
    """Return why a mutant may live, by file and by its two lines."""
    if not SURVIVORS.exists():
        return {}
    rows = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("survivor", [])
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["file"], {})[f"{row['line']}  ->  {row['mutant']}"] = row["why"]
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the mutants of the files named, or of all rooms."""
    files = [a for a in arguments if a.startswith("agent/")] or [
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in sorted((ROOT / room).glob("*.py"))
        if path.name != "__init__.py"
    ] + list(FILES)
    swarm = Swarm(files, verbose="--show" in arguments, quick="--quick" in arguments)
    paths = [a for a in arguments if a.startswith("tests/")] or TESTS
    tests = [f"--ignore={ROOT / LONG}", *(str(ROOT / path) for path in paths)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        # children import our modules anew: they need not compile the others each time
        sys.pycache_prefix, sys.dont_write_bytecode = folder, False
        status = pytest.main(
            ["-q", "-s", "--tb=native", "--disable-warnings", "-p", "no:cacheprovider", *tests],
            plugins=[swarm],
        )
    if status:
        return int(status)
    why, bad = explained(), 0
    for file, alive in swarm.survivors.items():
        for mutant in alive:
            if mutant.name not in why.get(file, {}):
                bad = 1
                print(
                    f"lives unexplained: {file}:{mutant.line} {mutant.operator}\n    {mutant.name}"
                )
        if swarm.counts[file] and len(alive) > (1 - KILLED_MIN) * swarm.counts[file]:
            bad = 1
            print(f"{file}: fewer than {KILLED_MIN:.0%} were killed")
    total, live = sum(swarm.counts.values()), sum(map(len, swarm.survivors.values()))
    print(f"{total} mutants, {live} live, killed {1 - live / max(total, 1):.1%}")
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
