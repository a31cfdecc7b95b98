"""Runs one cell: a trailing expression is its result, an exception is data."""

import ast
import linecache
import sys

from sandbox.api import Stop
from sandbox.figures import emit_figures
from sandbox.names import locals_of
from sandbox.state import session
from sandbox.trusted import (
    compile_,
    eval_,
    exec_,
    isinstance_,
    issubclass_,
    len_,
    print_exception,
    str_,
    text,
    type_,
    type_name,
)

PACKAGE = __file__.rpartition("/")[0]
RESULT_CHARS = 20_000
TRACEBACK_FRAMES = 20


def run(request):
    """One cell. A trailing expression's repr is `result`; what was assigned before an exception stays."""
    filename = f"<cell {request['cell']}>"
    old_out, old_err = sys.stdout, sys.stderr
    out, err = session.stdout, session.stderr
    out.truncated = err.truncated = False
    out.length = err.length = 0
    sys.stdout, sys.stderr = out, err
    error = result = None
    try:
        error, result = run_code(request["code"], filename)
        for function in (emit_figures, *session.after_cell):
            hook_error, _ = guarded(function, filename)
            error = error or hook_error
        if request["prelude"]:
            session.hidden.update(session.names)
        found = locals_of(request["locals"])
    except BaseException as problem:
        # Only hostile objects get here (a __repr__ that raises what is no Exception, a patched module).
        error = error or {"type": "SystemError", "message": "the reply could not be made: " + type_name(problem)}
        found = {}
    finally:
        sys.stdout, sys.stderr = old_out, old_err
    return {
        "status": "error" if error else "ok",
        "result": result,
        "error": error,
        "locals": found,
        **session.take_output(),
    }


def run_code(source, filename):
    linecache.cache[filename] = (len_(source), None, source.splitlines(True), filename)

    def execute():
        tree = ast.parse(source, filename)
        last = tree.body.pop() if tree.body and isinstance_(tree.body[-1], ast.Expr) else None
        exec_(compile_(tree, filename, "exec", dont_inherit=True), session.names)
        if last is None:
            return None
        expression = ast.Expression(last.value)
        return result_of(eval_(compile_(expression, filename, "eval", dont_inherit=True), session.names))

    return guarded(execute, filename)


def guarded(function, filename):
    """(error or None, value or None) of a call of guest code; the traceback goes to the cell's stderr."""
    try:
        return None, function()
    except Stop:
        return None, None
    except BaseException as problem:
        return describe(problem, filename), None


def describe(problem, filename):
    line = None
    if issubclass_(type_(problem), SyntaxError) and problem.filename == filename and type_(problem.lineno) is int:
        line = problem.lineno
    frames = problem.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == filename:
            line = frames.tb_lineno
        frames = frames.tb_next
    kind = type_name(problem)
    try:
        tb = problem.__traceback__
        while tb is not None and tb.tb_frame.f_code.co_filename.startswith(PACKAGE):
            tb = tb.tb_next
        print_exception(type_(problem), problem, tb, limit=-TRACEBACK_FRAMES, file=session.stderr)
        message = text(str_(problem))[:2000]
    except BaseException:
        session.stderr.write(kind + ": the exception's own text could not be had\n")
        message = ""
    return {"type": kind, "message": message, "line": line}


def result_of(value):
    if value is None:
        return None
    shown = repr(value)
    if type_(shown) is not str_:
        shown = "".join((shown,))
    cut = len_(shown) - RESULT_CHARS
    return text(shown if cut <= 0 else shown[:RESULT_CHARS] + f"… ({cut} more characters)")
