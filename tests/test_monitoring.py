"""What `deploy/monitoring` ships: rules with their tests, runbooks that exist, dashboards made from the table."""

import importlib.util
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from liqtape.exposition.families import FAMILIES

_ROOT = Path(__file__).resolve().parents[1]
_MONITORING = _ROOT / "deploy" / "monitoring"
_RULES = sorted((_MONITORING / "rules").glob("*.yml"))
_OWN_RULES = [path for path in _RULES if path.name != "tests.yml"]


@pytest.fixture(name="dashboards", scope="module")
def _dashboards() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", _MONITORING / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _alerts() -> list[str]:
    return [name for path in _OWN_RULES for name in re.findall(r"^ +- alert: (\w+)$", path.read_text(), re.MULTILINE)]


def test_the_rules_are_rules_and_pass_their_tests(require_server: Callable[[str], Path]) -> None:
    promtool = str(require_server("promtool"))
    for command in (
        ["check", "rules", *map(str, _OWN_RULES)],
        ["test", "rules", str(_MONITORING / "rules" / "tests.yml")],
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration(require_server: Callable[[str], Path]) -> None:
    command = [str(require_server("promtool")), "check", "config", str(_MONITORING / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_and_what_a_person_needs() -> None:
    tests = (_MONITORING / "rules" / "tests.yml").read_text()
    runbooks = (_ROOT / "docs" / "howto" / "runbooks.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", runbooks, re.MULTILINE)}
    names = _alerts()

    assert len(names) > 15
    assert [name for name in names if f"alertname: {name}\n        exp_alerts:\n" not in tests] == []
    for path in _OWN_RULES:
        for block in re.split(r"^ +- alert: ", path.read_text(), flags=re.MULTILINE)[1:]:
            name = block.split("\n")[0]
            assert re.search(r"severity: (critical|warning|info)", block), name
            assert re.search(r"summary: .*\n +description: .+\n", block), name
            assert f"runbook_url: docs/howto/runbooks.md#{name.lower()}\n" in block, name
            assert name.lower() in headings, name


def test_each_runbook_is_of_an_alert_and_says_what_to_do() -> None:
    runbooks = (_ROOT / "docs" / "howto" / "runbooks.md").read_text()
    sections = dict(re.findall(r"^## (Liqtape\w+)\n(.*?)(?=^## |\Z)", runbooks, re.MULTILINE | re.DOTALL))

    assert sorted(sections) == sorted(_alerts())
    for name, text in sections.items():
        assert text.strip().startswith("**Means**"), name
        assert len(re.findall(r"^\d\. ", text, re.MULTILINE)) == 3, name
        assert "**Expect**" in text, name
        assert re.search(r"\*\*(Never i|I)gnore\*\*", text), name


def test_rules_and_dashboards_use_names_that_are_exposed(dashboards: ModuleType) -> None:
    exposed = {family.name for family in FAMILIES}
    text = "".join(path.read_text() for path in _OWN_RULES)
    used = dashboards.names_in("\n".join(re.findall(r"expr: (.+)", text)))
    for dashboard in dashboards.DASHBOARDS:
        for panel in dashboard.panels:
            used |= dashboards.names_in(" ".join(expr for expr, _ in panel.queries))

    assert used - exposed == set()
    assert len(used) > 30


def test_committed_dashboards_are_those_of_the_table(dashboards: ModuleType) -> None:
    for dashboard in dashboards.DASHBOARDS:
        path = _MONITORING / "grafana" / "dashboards" / f"{dashboard.uid.removeprefix('liqtape-')}.json"
        assert json.loads(path.read_text()) == dashboards.document(dashboard)
        assert [panel.title for panel in dashboard.panels if not panel.description.endswith(".")] == []


@pytest.mark.parametrize(
    ("panel", "alert"),
    [
        ("Age of the last data", "LiqtapeFeedSilent"),
        ("Sinks", "LiqtapeSinkLags"),
        ("Clocks", "LiqtapeClockOff"),
        ("History", "LiqtapeHistoryLags"),
        ("Level of the market", "LiqtapeMarketCritical"),
    ],
)
def test_thresholds_of_the_dashboards_are_those_of_the_rules(dashboards: ModuleType, panel: str, alert: str) -> None:
    [shown] = [p for dashboard in dashboards.DASHBOARDS for p in dashboard.panels if p.title == panel]
    text = "".join(path.read_text() for path in _OWN_RULES)
    [limit] = re.findall(rf"alert: {alert}\n +expr: .* (?:>|==) ([\d.]+)\n", text)

    assert shown.red_from == float(limit)
