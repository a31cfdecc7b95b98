"""The command line: `rlmctl`, also as `python -m rlmctl`.

Each command is a function in a module of its own; this one lists them, and turns errors into messages and statuses.
"""

from __future__ import annotations

import sys
from typing import Final

import typer

from rlmctl.ask import ask_command
from rlmctl.demo import demo_command
from rlmctl.dev import dev_command
from rlmctl.errors import CommandError
from rlmctl.render import render_command
from rlmctl.terminal import plain, stderr_console
from rlmctl.verify import verify_command

_EPILOG: Final = """\
Exit status: 0 done; 1 the run ended without an answer; 2 wrong arguments or files; 3 the endpoint is not there or
refuses; 4 a local stack could not be kept running; 5 verify found what does not hold; 130 interrupted.
"""


def build_app() -> typer.Typer:
    app = typer.Typer(
        name="rlmctl",
        help="Recursive Language Models: questions over any length of context, with generated code locked in WASM.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.command("ask")(ask_command)
    app.command("dev")(dev_command)
    app.command("demo")(demo_command)
    app.command("render")(render_command)
    app.command("verify")(verify_command)
    return app


def main() -> None:
    try:
        build_app()()
    except CommandError as error:
        stderr_console().print(plain(f"rlmctl: {error}", "bold red"), soft_wrap=True)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
