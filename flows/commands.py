"""Which function a command of `regulars` runs, the options that several of them share, and how one is run.

The function is named as "module:function" and imported when its command is called, so that checking a catalogue does not load
a stream processor.
"""

import importlib
import os
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic_core import ValidationError

from engine.errors import Fenced, RegularsError, StoreUnavailable

ROSTER: Final = {
    "up": "flows.up:main",
    "api": "api.app:main",
    "engine": "flows.personalize:main",
    "learn": "flows.learn:main",
    "demo": "load_tests.demo:main",
    "replay": "flows.replay:main",
    "evaluate": "flows.evaluate:main",
    "catalogue check": "config.catalogue_files:main_check",
    "catalogue schema": "config.catalogue_files:main_schema",
    "catalogue features": "config.catalogue_features:main_features",
    "catalogue codes": "config.catalogue_codes:main_codes",
    "catalogue pause": "config.catalogue_status:main_pause",
    "catalogue resume": "config.catalogue_status:main_resume",
    "simulate": "flows.simulate:main",
    "act": "flows.act:main",
    "actions list": "flows.actions:list_actions",
    "actions show": "flows.actions:show",
    "actions replay": "flows.actions:replay",
    "dead-letters list": "flows.dead_letters:list_letters",
    "dead-letters show": "flows.dead_letters:show",
    "dead-letters replay": "flows.dead_letters:replay",
    "models list": "flows.models:list_models",
    "models show": "flows.models:show",
    "models rollback": "flows.models:rollback",
    "models freeze": "flows.models:freeze",
    "models thaw": "flows.models:thaw",
    "models promote": "flows.models:promote",
    "models judge": "flows.judge_offers:main",
    "tail": "flows.tail:main",
    "export": "flows.export:main",
    "erase": "flows.customers:erase",
    "preferences-link": "flows.customers:preferences_link",
    "privacy-notice": "flows.privacy_notice:main",
    "till record": "flows.till_desk:record",
    "till send": "flows.till_desk:send",
    "till status": "flows.till_desk:status",
    "till again": "flows.till_desk:again",
    "till offer": "flows.till_desk:offer",
}

TRY_AGAIN: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130

Host = Annotated[str, typer.Option(envvar="REGULARS_HOST", help="Address to listen on; loopback only without keys.")]
Port = Annotated[int, typer.Option(envvar="REGULARS_PORT", help="Port to listen on; 0 takes a free one.")]
Data = Annotated[Path, typer.Option(envvar="REGULARS_DATA", help="Folder of the embedded Redis and its logs.")]
Catalogue = Annotated[Path | None, typer.Option(envvar="REGULARS_CATALOGUE", help="Folder of offers, campaigns and policy.")]
RedisUrl = Annotated[str, typer.Option(envvar="REGULARS_REDIS_URL", help="A Redis of your own.")]
Engines = Annotated[int, typer.Option(envvar="REGULARS_ENGINES", min=1, help="Engine processes sharing the shards.")]
Url = Annotated[str, typer.Option(envvar="REGULARS_URL", help="Where a running Regulars answers.")]
Key = Annotated[str, typer.Option(envvar="REGULARS_KEY", help="The key to send, where the server has keys.")]
Offer = Annotated[str, typer.Argument(envvar="REGULARS_OFFER", help="An offer, or a campaign.")]
Model = Annotated[str, typer.Argument(envvar="REGULARS_MODEL", help="Its name, as `regulars models list` shows it.")]
Customer = Annotated[str, typer.Argument(envvar="REGULARS_CUSTOMER", help="The user id.")]
AsJson = Annotated[bool, typer.Option("--json", envvar="REGULARS_AS_JSON", help="As JSON, one object a line.")]
Sample = Annotated[
    int, typer.Option(envvar="REGULARS_SIMULATE_CUSTOMERS", min=0, help="At most so many customers; 0 is all who asked.")
]
EventsFile = Annotated[
    Path | None, typer.Option(envvar="REGULARS_EVENTS", help="A log of your own: a file of events, one JSON object a line.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", envvar="REGULARS_JSON", help="Write the figures here too.")]


def dispatch(command: str, **arguments: object) -> None:
    """Imports and calls the function behind `command`, and ends the process with the code it answers.

    Errors that the product raises on purpose are one sentence: code 1 where trying again may help, 2 where the use is
    wrong. Anything else is a bug and keeps its traceback.
    """
    # The vectors are short: one thread is faster than several, leaves the cores to the other processes, and adds in one
    # order, so that sums are equal to the last bit. numpy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    module, _, function = ROSTER[command].partition(":")
    try:
        code = getattr(importlib.import_module(module), function)(**arguments)
    except RegularsError as error:
        typer.echo(f"regulars: {error}", err=True)
        code = TRY_AGAIN if isinstance(error, StoreUnavailable | Fenced) else WRONG_USE
    except ValidationError as error:
        for mistake in error.errors():
            variable = "_".join(str(part) for part in mistake["loc"]).upper()
            typer.echo(f"regulars: REGULARS_{variable}: {mistake['msg']}", err=True)
        code = WRONG_USE
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code or 0)
