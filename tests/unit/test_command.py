"""The command line: every option has its variable, and every command reaches its function with what it takes."""

import importlib
import inspect
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

import regulars
from config.settings import ApiSettings, UpSettings
from engine.errors import StoreUnavailable
from flows import till_commands

CALLS = {
    "up": [], "api": [], "engine": [], "learn": [], "act": [], "demo": [], "replay": ["complete-journey"], "evaluate": ["churn"],
    "catalogue check": ["."], "catalogue schema": [], "catalogue features": [], "catalogue pause": ["milk"],
    "catalogue codes": ["milk"], "catalogue resume": ["milk"],
    "simulate": ["."], "dead-letters list": [], "dead-letters show": ["1-1"],
    "dead-letters replay": [], "tail": [], "export": ["events"],
    "actions list": [], "actions show": ["act-1"], "actions replay": [],
    "models list": [], "models show": ["churn"], "models rollback": ["churn"], "models freeze": ["churn", "--why", "a look"],
    "models thaw": ["churn"], "models promote": ["churn.adagrad"], "models judge": [],
    "erase": ["u-1"], "preferences-link": ["u-1"], "privacy-notice": [],
    "till record": ["-"], "till send": [], "till status": [], "till again": [], "till offer": ["{}"],
}  # fmt: skip


def options() -> Iterator[tuple[str, typer.core.TyperOption | typer.core.TyperArgument]]:
    def below(command: object, name: str) -> Iterator[tuple[str, typer.core.TyperOption | typer.core.TyperArgument]]:
        if isinstance(command, typer.core.TyperGroup):
            for child, each in command.commands.items():
                yield from below(each, f"{name} {child}".strip())
        elif isinstance(command, typer.core.TyperCommand):
            for parameter in command.params:
                if isinstance(parameter, typer.core.TyperOption | typer.core.TyperArgument):
                    yield name, parameter

    return below(typer.main.get_command(regulars.app), "")


def test_every_option_has_an_environment_variable_of_ours() -> None:
    without = [
        (command, option.name)
        for command, option in options()
        if option.name != "help" and not str(option.envvar).startswith("REGULARS_")
    ]

    assert without == []


def test_what_the_command_line_assumes_is_what_the_settings_assume() -> None:
    assumed = {(command, option.name): option.default for command, option in options()}

    assert assumed["up", "host"] == assumed["api", "host"] == ApiSettings.model_fields["host"].default
    assert assumed["up", "port"] == assumed["api", "port"] == ApiSettings.model_fields["port"].default
    assert assumed["up", "data"] == UpSettings.model_fields["data"].default
    assert assumed["up", "engines"] == UpSettings.model_fields["engines"].default


def test_every_command_of_the_roster_can_be_called() -> None:
    assert set(CALLS) == set(regulars.ROSTER)


@pytest.mark.parametrize("command", CALLS)
def test_a_command_hands_its_function_exactly_what_it_takes(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, function = regulars.ROSTER[command].partition(":")
    takes = set(inspect.signature(getattr(importlib.import_module(module), function)).parameters)
    handed: dict[str, object] = {}
    for caller in (regulars, till_commands):
        monkeypatch.setattr(caller, "dispatch", lambda name, **arguments: handed.update({"command": name}, **arguments))
    monkeypatch.setenv("REGULARS_REDIS_URL", "redis://127.0.0.1:1")

    result = CliRunner().invoke(regulars.app, [*command.split(), *CALLS[command]])

    assert result.exit_code == 0, result.output
    assert handed.pop("command") == command
    assert set(handed) == takes


def test_a_network_fault_is_one_sentence_and_code_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**arguments: object) -> int:
        raise StoreUnavailable(f"redis is away {len(arguments)}")

    monkeypatch.setitem(regulars.ROSTER, "learn", "tests.unit.test_command:stand_in")
    monkeypatch.setattr("tests.unit.test_command.stand_in", away, raising=False)

    result = CliRunner().invoke(regulars.app, ["learn", "--redis-url", "redis://127.0.0.1:1"])

    assert result.exit_code == 1
    assert result.output == "regulars: redis is away 1\n"


def test_up_refuses_an_address_beyond_this_machine_without_keys() -> None:
    result = CliRunner().invoke(regulars.app, ["up", "--host", "0.0.0.0"])

    assert result.exit_code == 2
    assert "loopback only" in result.output


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_STOP_WITHIN_S", "soon")

    result = CliRunner().invoke(regulars.app, ["up"])

    assert result.exit_code == 2
    assert "REGULARS_STOP_WITHIN_S" in result.output
