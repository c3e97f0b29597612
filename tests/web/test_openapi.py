"""The API against its own description, by schemathesis: every answer is declared, and none is a 500."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_PATHS = (
    "/healthz /readyz /api/v1/now /api/v1/metrics /api/v1/metrics/{instrument} /api/v1/market /api/v1/events "
    "/api/v1/levels /api/v1/levels/{instrument} /api/v1/price /api/v1/price/{instrument} /api/v1/cascades "
    "/api/v1/alerts /api/v1/correlation /api/v1/health /api/v1/gaps /api/v1/ledger /api/v1/history"
).split()
_BARE = {"/healthz", "/readyz", *(f"/api/v1/{name}" for name in "now market correlation health ledger".split())}
_WITH_PARAMETERS = [path for path in _PATHS if path not in _BARE]


@pytest.fixture(scope="module")
def described(running: Any) -> Any:
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")


def test_list_of_paths_is_whole(described: Any) -> None:
    assert {*described.raw_schema["paths"]} == {*_PATHS, "/api/v1/stream"}


@pytest.mark.parametrize("path", _PATHS)
def test_answers_are_as_described(described: Any, path: str) -> None:
    _check(described[path]["GET"], GenerationMode.POSITIVE, _CHECKS)


@pytest.mark.parametrize("path", _WITH_PARAMETERS)
def test_what_is_not_described_is_refused(described: Any, path: str) -> None:
    _check(described[path]["GET"], GenerationMode.NEGATIVE, [*_CHECKS, negative_data_rejection])


def _check(operation: Any, mode: GenerationMode, checks: list[Any]) -> None:
    @settings(
        max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.validate_response(case.call(timeout=60), checks=checks)

    check()
