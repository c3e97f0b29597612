"""The command `frames`: what venues sent, out of a recording."""

import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import UNSET, Struct, UnsetType

from liqtape.cli.options import known_venue
from liqtape.recording.chunks import Group
from liqtape.recording.records import ConnectionOpened
from liqtape.recording.segments import Broken, StampedRecord, read_recording
from liqtape.venues import VENUES

__all__ = ["frames"]


class _Frame(Struct, frozen=True):
    """One line; `frame_base64` is there instead of `frame` where the bytes are no text."""

    receive_ms: int
    receive_iso: str
    venue: str
    connection: int
    url: str
    frame: str | UnsetType = UNSET
    frame_base64: str | UnsetType = UNSET


def _chosen_venue(name: str | None) -> str | None:
    return None if name is None else known_venue(name)


def frames(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A recording, or a segment of it.")],
    venue: Annotated[
        str | None,
        typer.Option(metavar="VENUE", callback=_chosen_venue, help=f"One of {', '.join(VENUES)}. [default: all]"),
    ] = None,
    bare: Annotated[bool, typer.Option("--bare", help="The frames alone, as `normalize` reads them.")] = False,
) -> int:
    """Raw frames of a recording, one a line: NDJSON with time of receipt, venue, connection and frame."""
    broken: list[Broken] = []
    out = sys.stdout.buffer
    encode = msgspec.json.Encoder().encode
    for receive_ns, opened, payload in _frames(path, broken):
        if venue is None or opened.venue == venue:
            out.write((payload.replace(b"\n", b" ") if bare else encode(_line(receive_ns, opened, payload))) + b"\n")
    out.flush()
    for one in broken:
        sys.stderr.write(f"liqtape frames: {one}\n")
    return int(bool(broken))


def _frames(path: Path, broken: list[Broken]) -> Iterator[tuple[int, ConnectionOpened, bytes]]:
    """When, over which connection and what, in the order of receipt."""
    connections: dict[int, ConnectionOpened] = {}
    for part in read_recording(path, broken):
        if isinstance(part, StampedRecord) and isinstance(part.record, ConnectionOpened):
            connections[part.record.connection] = part.record
        elif isinstance(part, Group) and part.connection in connections:
            for payload in part.payloads:
                yield part.receive_ns, connections[part.connection], payload


def _line(receive_ns: int, opened: ConnectionOpened, payload: bytes) -> _Frame:
    receive_ms = receive_ns // 1_000_000
    told = datetime.fromtimestamp(receive_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = receive_ms, told, opened.venue, opened.connection, opened.endpoint.url
    try:
        return _Frame(*head, frame=payload.decode())
    except UnicodeDecodeError:
        return _Frame(*head, frame_base64=b64encode(payload).decode())
