"""`regulars till`: the commands of a till, for programs that are not Python and for whoever looks after one."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands import AsJson, Key, Url, dispatch

till = typer.Typer(help="Keep a till's transactions through an outage, send them, ask for an offer.", no_args_is_help=True)

QueueFile = Annotated[Path, typer.Option(envvar="REGULARS_TILL_FILE", help="The till's own file.")]
FILE = Path("regulars-till.db")


@till.command("record")
def record(
    source: Annotated[str, typer.Argument(envvar="REGULARS_TRANSACTIONS", help="JSON, one a line; - is standard input.")],
    file: QueueFile = FILE,
) -> None:
    """Keep transactions (POSLog or native events, one JSON document a line) on this disk; nothing is sent."""
    dispatch("till record", source=source, file=file)


@till.command("send")
def send(
    file: QueueFile = FILE,
    url: Url = "http://127.0.0.1:8080",
    key: Key = "",
    follow: Annotated[bool, typer.Option(envvar="REGULARS_FOLLOW", help="Go on for ever, with pauses while it is away.")] = False,
) -> None:
    """Send what waits, in order. Code 1: nobody answers, and it still waits."""
    dispatch("till send", file=file, url=url, key=key, follow=follow)


@till.command("status")
def status(file: QueueFile = FILE, as_json: AsJson = False) -> None:
    """Say what waits, and list what the server refused with the reason of each."""
    dispatch("till status", file=file, as_json=as_json)


@till.command("again")
def again(
    number: Annotated[int, typer.Argument(envvar="REGULARS_NUMBER", help="The number that status shows; all without one.")] = 0,
    file: QueueFile = FILE,
) -> None:
    """Queue what was refused once more, after what was wrong is put right (a store added to stores.yaml, say)."""
    dispatch("till again", number=number, file=file)


@till.command("offer")
def offer(
    basket: Annotated[str, typer.Argument(envvar="REGULARS_BASKET", help='Such as {"loyalty_id": "c-9", "cart": []}.')],
    url: Url = "http://127.0.0.1:8080",
    key: Key = "",
    deadline_ms: Annotated[int, typer.Option(envvar="REGULARS_DEADLINE_MS", min=1, help="No offer after that.")] = 150,
) -> None:
    """Ask for an offer before tender. Prints it as JSON, or null where there is none in time."""
    dispatch("till offer", basket=basket, url=url, key=key, deadline_ms=deadline_ms)
