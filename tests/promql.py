"""The queries of dashboards and rules, and which series they select."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.deploy_files import ROOT, load

DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))

_STRING = r'"(?:[^"\\]|\\.)*"'
_SELECTOR = re.compile(
    # A name of ours, of the interpreter's collectors, or `up`; not the label of a `by (...)` nor part of another word.
    r"(?<![\w:$])(?P<metric>astrolens[_:][\w:]+|process_\w+|python_\w+|up)\b(?![\w:(])"
    rf"(?P<labels>\{{(?:[^{{}}\"]|{_STRING})*\}})?"
)
_QUOTED = re.compile(_STRING)


class Selector(NamedTuple):
    """One vector selector of a query."""

    metric: str
    labels: str

    def __str__(self) -> str:
        return self.metric + self.labels


def selectors(expr: str) -> list[Selector]:
    """Every vector selector of a query, without range and offset; words inside strings are none."""
    quoted = [match.span() for match in _QUOTED.finditer(expr)]
    return [
        Selector(match["metric"], match["labels"] or "")
        for match in _SELECTOR.finditer(expr)
        if not any(start < match.start() < end for start, end in quoted)
    ]


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """Every panel of a dashboard but the titles of its rows."""
    found = json.loads(dashboard.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def panel_queries() -> Iterator[tuple[str, str]]:
    """Where each query of a panel stands, and the query."""
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield f"{dashboard.stem}: {panel['title']} {target['refId']}", target["expr"]


def rule_queries() -> Iterator[tuple[str, str]]:
    """The name of each rule, and its query."""
    for group in load("deploy/prometheus/rules.yml")["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def all_queries() -> list[str]:
    """Every query there is."""
    return [expr for _, expr in (*panel_queries(), *rule_queries())]


def without_variables(expr: str, *, interval: str) -> str:
    """A query as Grafana sends it: its interval for the rates, and everything for every choice."""
    sent = expr.replace("$__rate_interval", interval).replace('"$survey"', '".*"')
    assert "$" not in re.sub(r"\"\$\d\"", "", sent), f"a variable that this does not know: {sent}"
    return sent
