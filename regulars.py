"""The `regulars` command: every way to run and operate the product. Every option has its environment variable, `REGULARS_…`.

What a command runs is in the roster of `flows.commands`.
"""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands import (
    ROSTER,
    AsJson,
    Catalogue,
    Customer,
    Data,
    Engines,
    EventsFile,
    Host,
    JsonFile,
    Key,
    Model,
    Offer,
    Port,
    RedisUrl,
    Sample,
    Url,
    dispatch,
)
from flows.till_commands import till

__all__ = ["ROSTER", "app", "main"]

app = typer.Typer(
    name="regulars",
    help="Regulars, a real-time personalization engine: events in, offers out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
catalogue = typer.Typer(help="Check the offers, campaigns and policy that marketers write.", no_args_is_help=True)
dead_letters = typer.Typer(help="Events that could not be used, with their reason and raw bytes.", no_args_is_help=True)
models = typer.Typer(help="What each model serves and why; freeze it, roll it back, thaw it.", no_args_is_help=True)
actions = typer.Typer(help="What triggers led to; what could not be delivered, and another try.", no_args_is_help=True)
_GROUPS = {"catalogue": catalogue, "actions": actions, "dead-letters": dead_letters, "models": models, "till": till}
for _name, _part in _GROUPS.items():
    app.add_typer(_part, name=_name)


@app.command()
def up(
    data: Data = Path("regulars-data"),
    host: Host = "127.0.0.1",
    port: Port = 8080,
    redis_url: RedisUrl = "",
    engines: Engines = 1,
    api_workers: Annotated[int, typer.Option(envvar="REGULARS_API_WORKERS", min=1, help="API processes.")] = 1,
    catalogue: Catalogue = None,
) -> None:
    """Run the whole system on this machine: Redis, engine, learner and API.

    Prints one line with the address when it is ready. SIGTERM or Ctrl-C drains and ends it with code 0.
    """
    dispatch(
        "up", data=data, host=host, port=port, redis_url=redis_url, engines=engines, api_workers=api_workers,
        catalogue=catalogue,
    )  # fmt: skip


@app.command()
def api(
    redis_url: RedisUrl,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    catalogue: Catalogue = None,
    listen_fd: Annotated[int | None, typer.Option(envvar="REGULARS_LISTEN_FD", hidden=True)] = None,
) -> None:
    """Run one API process alone."""
    dispatch("api", redis_url=redis_url, host=host, port=port, catalogue=catalogue, listen_fd=listen_fd)


@app.command()
def engine(
    redis_url: RedisUrl,
    engines: Engines = 1,
    engine_index: Annotated[
        int, typer.Option(envvar="REGULARS_ENGINE_INDEX", min=0, help="Which of the engine processes this is.")
    ] = 0,
) -> None:
    """Run one engine process alone: it folds the events of its share of the shards."""
    dispatch("engine", redis_url=redis_url, engines=engines, engine_index=engine_index)


@app.command()
def learn(redis_url: RedisUrl) -> None:
    """Run the learner alone: it learns from closed examples and publishes snapshots."""
    dispatch("learn", redis_url=redis_url)


@app.command()
def act(redis_url: RedisUrl, url: Url = "http://127.0.0.1:8080", key: Key = "", catalogue: Catalogue = None) -> None:
    """Run the sender alone: it sends what triggers lead to, signed, to the webhooks in REGULARS_WEBHOOKS."""
    dispatch("act", redis_url=redis_url, url=url, key=key, catalogue=catalogue)


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(envvar="REGULARS_SECONDS", min=1, help="How long the replay may take.")] = None,
    json_file: JsonFile = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    data: Annotated[Path | None, typer.Option(envvar="REGULARS_DATA", help="Folder to keep; else a new one.")] = None,
    shop_port: Annotated[int, typer.Option(envvar="REGULARS_SHOP_PORT", min=0, help="The web shop's port; 0 is any.")] = 0,
    stay: Annotated[bool, typer.Option(envvar="REGULARS_STAY", help="Keep the shop open after the replay.")] = False,
) -> None:
    """Start everything and replay a year of real baskets, with simulated shoppers and a web shop beside them."""
    dispatch("demo", seconds=seconds, json_file=json_file, host=host, port=port, data=data, shop_port=shop_port, stay=stay)


@app.command()
def replay(
    source: Annotated[str, typer.Argument(envvar="REGULARS_SOURCE", help="A file of events, or complete-journey.")],
    url: Url = "http://127.0.0.1:8080",
    key: Key = "",
    speed: Annotated[str, typer.Option(envvar="REGULARS_SPEED", help='"max", or how many times faster than life.')] = "max",
    backfill: Annotated[
        bool, typer.Option(envvar="REGULARS_BACKFILL", help="As history: builds profiles and labels, triggers nothing.")
    ] = False,
) -> None:
    """Send a file of events, or the Complete Journey baskets, to a running Regulars; resumes where it stopped."""
    dispatch("replay", source=source, url=url, key=key, speed=speed, backfill=backfill)


@app.command()
def evaluate(
    what: Annotated[str, typer.Argument(envvar="REGULARS_WHAT", help="churn, purchase, next-category, coupons or offers.")],
    events: EventsFile = None,
    data: Annotated[
        str, typer.Option(envvar="REGULARS_EVALUATE_DATA", help="complete-journey, or a file of events.")
    ] = "complete-journey",
    horizon: Annotated[
        int, typer.Option(envvar="REGULARS_HORIZON", min=1, help="Days without a purchase that are churn; for churn.")
    ] = 28,
    activity_window: Annotated[
        int,
        typer.Option(envvar="REGULARS_ACTIVITY_WINDOW", min=1, help="Who bought in so many days is active; for churn."),
    ] = 28,
    customers: Annotated[
        Path | None,
        typer.Option(
            envvar="REGULARS_CUSTOMERS",
            help="A file with one customer id a line: only their scores count. The model learns from everybody all the same.",
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--from",
            envvar="REGULARS_FROM",
            help="Scores count from this day or RFC 3339 time on. What was before is learned. [default: week 13]",
        ),
    ] = "",
    until: Annotated[
        str,
        typer.Option("--to", envvar="REGULARS_TO", help="The log ends before this day or RFC 3339 time, for labels too."),
    ] = "",
    seed: Annotated[int, typer.Option(envvar="REGULARS_SEED", min=0, help="Seed of the bootstrap intervals.")] = 0,
    plots: Annotated[
        Path | None,
        typer.Option(
            envvar="REGULARS_PLOTS",
            help="Draw calibration and score over time as PNG into this folder; needs the extra regulars[evaluate].",
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure a model on known data, example after example, by the product's own features, labels and learner.

    churn: who stays away for the horizon. purchase: who buys within a week. next-category: what is in a customer's next
    basket, ranked. coupons: who redeems a coupon of a campaign they were sent. offers: what the learner earns among offers
    whose worth is known. Each is scored before it is learned, by models that had learned closed labels only; intervals are
    by customer.

    Without --events it is a year of real baskets of 2,469 households. A file of your own holds one event a line, as they
    are sent to /v1/events or as `regulars export events` writes them, in the order of their times.
    """
    dispatch(
        "evaluate", what=what, events=events, data=data, horizon_days=horizon, activity_days=activity_window,
        customers=customers, since=since, until=until, seed=seed, plots=plots,
        json_file=json_file,
    )  # fmt: skip


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(envvar="REGULARS_PROPOSED", help="The proposed catalogue.")],
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    days: Annotated[int, typer.Option(envvar="REGULARS_DAYS", min=1, help="So many days of visits, up to the last one.")] = 7,
    customers: Sample = 0,
    catalogue: Catalogue = None,
    json_file: JsonFile = None,
) -> None:
    """Play the visits of the last days through a proposed catalogue: reach, losers, saturated caps. Writes nothing.

    The current catalogue stands beside it: that of --catalogue, else the one that ships.
    """
    dispatch(
        "simulate", folder=folder, redis_url=redis_url, data=data, days=days, customers=customers, current=catalogue,
        json_file=json_file,
    )  # fmt: skip


@catalogue.command("check")
def catalogue_check(folder: Annotated[Path, typer.Argument(envvar="REGULARS_CATALOGUE", help="The folder to check.")]) -> None:
    """Say every mistake in a catalogue, with file and path."""
    dispatch("catalogue check", folder=folder)


@catalogue.command("schema")
def catalogue_schema() -> None:
    """Print the JSON Schema of the catalogue files, for editors."""
    dispatch("catalogue schema")


@catalogue.command("features")
def catalogue_features(as_json: AsJson = False) -> None:
    """List everything that a rule may ask of a customer, with unit and bounds, in words."""
    dispatch("catalogue features", as_json=as_json)


@catalogue.command("pause")
def catalogue_pause(offer: Offer, catalogue: Catalogue = None) -> None:
    """Make an offer or a campaign to nobody any more, until `resume`; one word in its file changes."""
    dispatch("catalogue pause", folder=catalogue, offer=offer)


@catalogue.command("resume")
def catalogue_resume(offer: Offer, catalogue: Catalogue = None) -> None:
    """Make a paused offer or campaign again."""
    dispatch("catalogue resume", folder=catalogue, offer=offer)


@catalogue.command("codes")
def catalogue_codes(offer: Offer, catalogue: Catalogue = None) -> None:
    """Print the coupon codes of an offer, one a line, for the till that has to know them."""
    dispatch("catalogue codes", folder=catalogue, offer=offer)


@actions.command("list")
def actions_list(
    which: Annotated[str, typer.Argument(envvar="REGULARS_WHICH", help="waiting, dead or over.")] = "dead",
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    limit: Annotated[int, typer.Option(envvar="REGULARS_LIMIT", min=1, help="At most so many, latest first.")] = 50,
) -> None:
    """List actions that wait, are dead or are over, one JSON object a line."""
    dispatch("actions list", redis_url=redis_url, data=data, which=which, limit=limit)


@actions.command("show")
def actions_show(
    action_id: Annotated[str, typer.Argument(envvar="REGULARS_ACTION", help="The id from list, or from a webhook.")],
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
) -> None:
    """Show one action with its message."""
    dispatch("actions show", redis_url=redis_url, data=data, action_id=action_id)


@actions.command("replay")
def actions_replay(
    action_id: Annotated[str, typer.Argument(envvar="REGULARS_ACTION", help="The id from list; all dead ones without.")] = "",
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
) -> None:
    """Try dead actions again under their old ids: a receiver that took one before takes it once."""
    dispatch("actions replay", redis_url=redis_url, data=data, action_id=action_id)


@dead_letters.command("list")
def dead_letters_list(
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    limit: Annotated[int, typer.Option(envvar="REGULARS_LIMIT", min=1, help="At most so many, newest first.")] = 50,
    reason: Annotated[str, typer.Option(envvar="REGULARS_REASON", help="Only this reason.")] = "",
) -> None:
    """List dead letters, newest first, one JSON object a line."""
    dispatch("dead-letters list", redis_url=redis_url, data=data, limit=limit, reason=reason)


@dead_letters.command("show")
def dead_letters_show(
    dead_letter_id: Annotated[str, typer.Argument(envvar="REGULARS_DEAD_LETTER", help="The id from list.")],
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
) -> None:
    """Show one dead letter with its raw bytes."""
    dispatch("dead-letters show", redis_url=redis_url, data=data, dead_letter_id=dead_letter_id)


@dead_letters.command("replay")
def dead_letters_replay(
    dead_letter_id: Annotated[
        str, typer.Argument(envvar="REGULARS_DEAD_LETTER", help="The id from list; all of them without one.")
    ] = "",
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    url: Url = "http://127.0.0.1:8080",
    key: Key = "",
    reason: Annotated[str, typer.Option(envvar="REGULARS_REASON", help="Only this reason.")] = "",
) -> None:
    """Send dead letters through the door again; an event counts once, however often it is sent."""
    dispatch(
        "dead-letters replay", redis_url=redis_url, data=data, dead_letter_id=dead_letter_id, url=url, key=key,
        reason=reason,
    )  # fmt: skip


@models.command("list")
def models_list(redis_url: RedisUrl = "", data: Data = Path("regulars-data"), as_json: AsJson = False) -> None:
    """List the models: what they have learned, what is served of them, how well they do."""
    dispatch("models list", redis_url=redis_url, data=data, as_json=as_json)


@models.command("show")
def models_show(
    model: Model,
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    against: Annotated[
        int | None, typer.Option(envvar="REGULARS_AGAINST", min=0, help="Show how the terms differ from this kept version.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one model: why it serves what it serves, the good versions that are kept, and its terms by name."""
    dispatch("models show", redis_url=redis_url, data=data, model=model, against=against, as_json=as_json)


@models.command("rollback")
def models_rollback(
    model: Model,
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    to: Annotated[
        int | None, typer.Option(envvar="REGULARS_TO", min=0, help="A kept version; else the one before the served one.")
    ] = None,
    why: Annotated[str, typer.Option(envvar="REGULARS_WHY", help="For those who look later.")] = "",
) -> None:
    """Serve a good version that is kept, until `thaw`; learning goes on in the shadow."""
    dispatch("models rollback", redis_url=redis_url, data=data, model=model, to=to, why=why)


@models.command("freeze")
def models_freeze(
    model: Model,
    why: Annotated[str, typer.Option(envvar="REGULARS_WHY", help="For those who look later.")],
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
) -> None:
    """Go on serving what is served now, until `thaw`; learning goes on in the shadow."""
    dispatch("models freeze", redis_url=redis_url, data=data, model=model, why=why)


@models.command("unfreeze", hidden=True)
@models.command("thaw")
def models_thaw(
    model: Model,
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    from_served: Annotated[
        bool, typer.Option("--from-served", envvar="REGULARS_FROM_SERVED", help="Forget what was learned in the shadow.")
    ] = False,
) -> None:
    """Serve the newest numbers again; with --from-served, learning goes on from the version that was served."""
    dispatch("models thaw", redis_url=redis_url, data=data, model=model, from_served=from_served)


@models.command("promote")
def models_promote(
    model: Model,
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    force: Annotated[bool, typer.Option("--force", envvar="REGULARS_FORCE", help="Even if it has not proven better.")] = False,
) -> None:
    """Serve a challenger (MODEL.KIND) instead of the champion, if it has proven better; naming MODEL itself goes back."""
    dispatch("models promote", redis_url=redis_url, data=data, model=model, force=force)


@models.command("judge")
def models_judge(
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    since: Annotated[str, typer.Option(envvar="REGULARS_SINCE", help="Only decisions from this RFC 3339 time on.")] = "",
    as_json: AsJson = False,
) -> None:
    """Judge ways of choosing offers by the decisions that were made: an even draw, and each offer by itself."""
    dispatch("models judge", redis_url=redis_url, data=data, since=since, as_json=as_json)


@app.command()
def tail(
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    user: Annotated[str, typer.Option(envvar="REGULARS_USER", help="Only this user id.")] = "",
    seconds: Annotated[float | None, typer.Option(envvar="REGULARS_SECONDS", min=0, help="Stop by itself after so long.")] = None,
) -> None:
    """Print events and their fate as they happen."""
    dispatch("tail", redis_url=redis_url, data=data, user=user, seconds=seconds)


@app.command()
def export(
    what: Annotated[str, typer.Argument(envvar="REGULARS_WHAT", help="events, decisions or customers.")],
    redis_url: RedisUrl = "",
    data: Data = Path("regulars-data"),
    since: Annotated[
        str, typer.Option(envvar="REGULARS_SINCE", help="Only from this RFC 3339 time on, for events and decisions.")
    ] = "",
) -> None:
    """Write what is held as NDJSON on standard output."""
    dispatch("export", redis_url=redis_url, data=data, what=what, since=since)


@app.command()
def erase(customer: Customer, url: Url = "http://127.0.0.1:8080", key: Key = "") -> None:
    """Have a customer forgotten in every store, and print the certificate that lists them."""
    dispatch("erase", customer=customer, url=url, key=key)


@app.command("preferences-link")
def preferences_link(customer: Customer, url: Url = "http://127.0.0.1:8080", key: Key = "") -> None:
    """Make a signed link to the page where a customer chooses what they get."""
    dispatch("preferences-link", customer=customer, url=url, key=key)


@app.command("privacy-notice")
def privacy_notice(catalogue: Catalogue = None) -> None:
    """Print what is held of customers, why and for how long, as Markdown."""
    dispatch("privacy-notice", catalogue=catalogue)


def main() -> None:
    """The console script."""
    app(prog_name="regulars")


if __name__ == "__main__":
    main()
