"""The files of the page, each read and compressed once: a browser asks for two dozen before it shows anything."""

import gzip
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["KeptFiles"]

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LEAST_BYTES = 1_000  # what is smaller gains nothing


class _Kept(Struct, frozen=True):
    content: bytes
    compressed: bytes
    media_type: str
    tag: str


class KeptFiles:
    """The files below a directory, as they were when each was first asked for; no other path is ever opened."""

    def __init__(self, directory: Path) -> None:
        self._paths = {path.relative_to(directory).as_posix(): path for path in _files(directory)}
        self._kept: dict[str, _Kept] = {}

    async def answer(self, request: Request) -> Response:
        """Return the file that the path names, compressed where the browser takes it; nothing where it has it."""
        return self.response(request.path_params["path"], request)

    def response(self, name: str, request: Request) -> Response:
        """Return a file by its name below the directory; raises HTTPException (404) for any other."""
        kept = self._kept.get(name)
        if kept is None:
            path = self._paths.get(name)
            if path is None:
                raise HTTPException(404)
            kept = self._kept[name] = _read(path)
        headers = {"ETag": kept.tag, "Vary": "Accept-Encoding"}
        if kept.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if len(kept.content) >= _LEAST_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                kept.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=kept.media_type
            )
        return Response(kept.content, headers=headers, media_type=kept.media_type)


def _files(directory: Path) -> Sequence[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def _read(path: Path) -> _Kept:
    content = path.read_bytes()
    media_type = _TYPES.get(path.suffix, "text/plain; charset=utf-8")
    return _Kept(content, gzip.compress(content, mtime=0), media_type, f'"{sha256(content).hexdigest()[:32]}"')
