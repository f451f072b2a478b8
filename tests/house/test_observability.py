"""Dashboard and alerts speak of metrics that exist, and every alert fires in a scripted incident."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.house.tree import ROOT, parsed, python_files

NAME = re.compile(r"\bregulars_[a-z0-9_]+")
FIRING = re.compile(r'alertname="(\w+)"')
# The flow reads metrics too: of its files, only these declare some.
METRICS = (Path("flows/metrics.py"), Path("flows/learn_metrics.py"), Path("flows/sender_metrics.py"))
HISTOGRAM_PARTS = ("_bucket", "_count", "_sum")


def declared() -> dict[str, str]:
    """Every metric that the code declares, with its kind: the first argument of its constructor.

    Gauges that are read at the moment of the scrape have no constructor of their own, and are strings of that form.
    """
    found: dict[str, str] = {}
    for path in (*METRICS, *python_files("api")):
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Call(func=ast.Name(id=("Counter" | "Gauge" | "Histogram") as kind), args=[ast.Constant(str(name)), *_]):
                    found[name] = kind
                case ast.Constant(str(name)) if NAME.fullmatch(name):
                    found.setdefault(name, "Gauge")
    return found


def named(text: str) -> set[str]:
    known = declared()
    return {_family(name, known) for name in NAME.findall(text)}


def _family(name: str, known: dict[str, str]) -> str:
    for part in HISTOGRAM_PARTS:
        if known.get(name.removesuffix(part)) == "Histogram":
            return name.removesuffix(part)
    return name


def expressions() -> Iterator[str]:
    """Every query of every dashboard."""
    for dashboard in (ROOT / "config" / "dashboards").glob("*.json"):
        for panel in json.loads(dashboard.read_text())["panels"]:
            yield from (target["expr"] for target in panel.get("targets", ()))


def alerts() -> list[dict[str, str]]:
    groups = yaml.safe_load((ROOT / "config" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.slow
def test_every_metric_on_a_dashboard_exists() -> None:
    assert named("\n".join(expressions())) - set(declared()) == set()


def test_every_metric_in_an_alert_exists() -> None:
    assert named("\n".join(rule["expr"] for rule in alerts())) - set(declared()) == set()


def test_metrics_are_named_as_their_kind_asks() -> None:
    wrong = [name for name, kind in declared().items() if name.endswith("_total") != (kind == "Counter")]

    assert wrong == []


def test_every_alert_has_its_incident() -> None:
    incidents = yaml.safe_load((ROOT / "tests" / "house" / "incidents.yaml").read_text())["tests"]
    tests = [test for incident in incidents for test in incident.get("promql_expr_test", ())]
    fired = {name for test in tests for name in FIRING.findall(test["expr"])}

    assert {rule["alert"] for rule in alerts()} == fired


@pytest.mark.slow
def test_every_alert_fires_in_its_incident_and_none_while_all_is_well() -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is missing: apt-get install prometheus")

    found = subprocess.run(
        ["promtool", "test", "rules", ROOT / "tests" / "house" / "incidents.yaml"], capture_output=True, text=True
    )

    assert found.returncode == 0, found.stderr
