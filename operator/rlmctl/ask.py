"""`rlmctl ask`: one question over files and folders, with the run shown as it happens."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from rlmctl.asking.client import Endpoint, stream_run
from rlmctl.asking.corpus import Corpus, Selection, build_body, read_corpus
from rlmctl.asking.trajectory import TrajectoryView
from rlmctl.errors import EndpointError, InputError, RunFailedError
from rlmctl.interruption import run_interruptibly
from rlmctl.local.ready_file import default_ready_path, read_ready_file
from rlmctl.terminal import count, plain, stderr_console, stdout_console
from runtime.inference.events import RunCompleted, RunFailed, RunStarted
from runtime.inference.usage import Usage


class Outcome(BaseModel):
    """What `--json` prints."""

    answer: str
    model: str
    stop_reason: str
    iterations: int
    sub_calls: int
    usage: Usage
    duration_s: float


def ask_command(
    question: Annotated[str, typer.Argument(help="The question.")],
    context: Annotated[
        list[Path] | None, typer.Option("--context", "-c", help="A file or folder to ask about; may be repeated.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help='Of folders take only files with such names ("*.md"); may be repeated.')
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Of folders leave out such files and folders; may be repeated.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(envvar="RLM_ENDPOINT", help="Where to ask (default: the stack that rlmctl dev runs)."),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="RLM_API_KEY", help="Key of the endpoint; better given as RLM_API_KEY.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with the answer, and nothing else.")
    ] = False,
) -> None:
    """Ask a question about files or folders of any size, and watch how the answer is found.

    Binary files in folders are left out. A single file is the context as it is, anything else a list of documents.
    """
    target = find_endpoint(endpoint, api_key)
    console = stderr_console()
    corpus = read_with_progress(context or [], Selection(include or (), exclude or ()), console)
    view = None if as_json else TrajectoryView(stdout_console())
    outcome = run_interruptibly(ask(target, question, corpus, console, view))
    if as_json:
        typer.echo(outcome.model_dump_json())


def find_endpoint(url: str | None, api_key: str | None) -> Endpoint:
    """The one that was named, else that of a running `rlmctl dev`. Raises EndpointError when there is neither."""
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--endpoint {url}: write the whole address, such as http://127.0.0.1:8000")
        return Endpoint(url, api_key)
    path = default_ready_path(os.environ)
    ready = read_ready_file(path)
    if ready is None:
        raise EndpointError(
            "no endpoint: start one with `rlmctl dev -f config/samples/quickstart.yaml`, or name one with --endpoint "
            "and RLM_API_KEY"
        )
    return Endpoint(ready.endpoint, api_key or ready.api_key)


def read_with_progress(paths: Sequence[Path], selection: Selection, console: Console) -> Corpus:
    """Raises InputError for paths that cannot be used."""
    columns = (SpinnerColumn(), TextColumn("reading"), TextColumn("{task.completed:,.0f} files"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as reading:
        task = reading.add_task("reading", total=None)
        corpus = read_corpus(paths, selection, lambda _: reading.advance(task))
    if paths:
        skipped = f"; {count(corpus.skipped, 'file')} left out: no text" if corpus.skipped else ""
        size = f"{count(len(corpus.documents), 'file')}, {count(corpus.characters, 'character')}"
        console.print(plain(f"context: {size}{skipped}", "dim"))
    return corpus


async def ask(
    endpoint: Endpoint, question: str, corpus: Corpus, console: Console, view: TrajectoryView | None
) -> Outcome:
    """Send the question and follow the run. Raises RunFailedError when it ends without an answer."""
    body = build_body(question, corpus)
    model = ""
    columns = (TextColumn("sending"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as sending,
        view or nullcontext(),
    ):
        task = sending.add_task("sending", total=len(body))
        async for event in stream_run(endpoint, body, lambda size: sending.advance(task, size)):
            sending.stop()
            if view is not None:
                view.show(event)
            match event:
                case RunStarted():
                    model = event.model
                case RunCompleted():
                    return Outcome(model=model, **event.model_dump(include=set(Outcome.model_fields)))
                case RunFailed():
                    raise RunFailedError(_describe_failure(event))
    raise EndpointError(f"{endpoint.url} ended the stream before the run's end; its log may say why")


def _describe_failure(event: RunFailed) -> str:
    reason = f"the run ended without an answer: {event.error.message} ({event.error.code})"
    return f"{reason}\nWhat its code had so far:\n{event.partial_answer}" if event.partial_answer else reason
