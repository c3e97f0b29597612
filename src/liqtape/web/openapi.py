"""The description of the API, made of the very types that answer: it cannot differ from them."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from liqtape import __version__
from liqtape.web.answers import ErrorAnswer, ReplayState
from liqtape.web.paths import ApiPath
from liqtape.web.questions import ReplayOrder, parameters_of
from liqtape.web.streammessages import Snapshot, Update

__all__ = ["openapi"]

_REF = "#/components/schemas/{name}"


def openapi(paths: Sequence[ApiPath], *, is_replay: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these paths, of the stream, and of the control of a replay."""
    kinds = [ErrorAnswer, ReplayState, ReplayOrder, Snapshot, Update, *dict.fromkeys(path.answer for path in paths)]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    described: dict[str, Any] = {path.path: {"get": _operation(path)} for path in paths}
    described["/api/v1/stream"] = {"get": _stream()}
    if is_replay:
        described["/api/v1/replay"] = {"post": _control()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "liqtape", "version": __version__, "description": "Realised liquidations, live."},
        "paths": described,
        "components": {"schemas": components},
    }


def _operation(path: ApiPath) -> dict[str, Any]:
    parameters = _parameters(path)
    statuses = {"200": path.answer}
    if path.status_of is not None:
        statuses["503"] = path.answer
    responses = {status: _json(answer.__name__, _sentence(answer)) for status, answer in statuses.items()}
    for status, why in _refusals(path).items():
        responses.setdefault(status, _json("ErrorAnswer", why))
    return {
        "summary": path.summary,
        "operationId": re.sub(r"\W+", "_", path.path).strip("_"),
        "parameters": parameters,
        "responses": responses,
    }


def _refusals(path: ApiPath) -> dict[str, str]:
    refusals = {"400": "The question cannot be read.", "401": "The token is missing or wrong."}
    refusals |= {"421": "The host name is not ours."}
    if path.names_instrument or "instrument" in path.question.__struct_fields__:
        refusals["404"] = "No such instrument was seen."
    if path.path.endswith("/history"):
        refusals |= {"404": "No history is kept.", "501": "An extra is missing.", "503": "Too many at once."}
    return refusals


def _parameters(path: ApiPath) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if path.names_instrument:
        text = {"type": "string", "minLength": 1, "maxLength": 200}
        found.append({"name": "instrument", "in": "path", "required": True, "schema": text})
    for name, schema in parameters_of(path.question).items():
        told = {"description": schema.pop("description")} if "description" in schema else {}
        found.append({"name": name, "in": "query", "required": False, "schema": schema, **told})
    return found


def _stream() -> dict[str, Any]:
    told = {
        "description": "Events snapshot and update, their data as Snapshot and Update.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    last = {"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "summary": "What changes, four times a second at most.",
        "operationId": "stream",
        "parameters": [last],
        "responses": {"200": told, "503": _json("ErrorAnswer", "Too many readers.")},
    }


def _control() -> dict[str, Any]:
    body = {"application/json": {"schema": {"$ref": _REF.format(name="ReplayOrder")}}}
    return {
        "summary": "Pause, speed and seek of a replay.",
        "operationId": "replay",
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": _json("ReplayState", "Where it stands now."),
            "400": _json("ErrorAnswer", "The order cannot be read."),
            "403": _json("ErrorAnswer", "It came from another site."),
            "413": _json("ErrorAnswer", "It is too long."),
            "415": _json("ErrorAnswer", "It is no JSON."),
        },
    }


def _json(name: str, description: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=name)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _sentence(kind: type[msgspec.Struct]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]
