"""The files of the page: light, whole, and without a word inside that the content policy would refuse."""

import gzip
import hashlib
import re
from pathlib import Path

import liqtape.web

_STATIC = Path(liqtape.web.__file__).parent / "static"
_MOST_BYTES = 120 * 1024


def _files() -> list[Path]:
    return sorted(path for path in _STATIC.rglob("*") if path.is_file())


def test_the_page_is_light() -> None:
    sent = [path for path in _files() if path.suffix in {".html", ".css", ".js", ".svg"}]
    assert sum(len(gzip.compress(path.read_bytes())) for path in sent) <= _MOST_BYTES


def test_vendored_files_are_what_was_fetched() -> None:
    for line in (_STATIC / "uplot" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((_STATIC / "uplot" / name).read_bytes()).hexdigest() == digest, name


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = (_STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert all(re.search(r'src="/static/', script) for script in re.findall(r"<script[^>]*>", page))
    for path in _files():
        if path.suffix in {".html", ".css", ".js"} and path.parent.name != "uplot":
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()), path.name


def test_what_venues_say_never_becomes_markup() -> None:
    for path in _STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", path.read_text()
        ), path.name


def test_each_module_is_there_and_is_used() -> None:
    modules = {path.name for path in _STATIC.glob("*.js")}
    assert _needed("main.js") == modules
    assert len(_needed("main.js", how="from ")) <= 6  # more than the six connections of a browser wait for one another


def test_what_is_seen_first_is_asked_for_first() -> None:
    page = (_STATIC / "index.html").read_text()
    preloads = re.findall(r'<link rel="modulepreload" href="/static/([\w/.]+)">', page)

    # What is not seen first waits: asked for at once, it takes the connections and the time of what is.
    assert set(preloads) == _needed("main.js", how="from ") - {"main.js"}


def _needed(module: str, how: str = r"from |import\(") -> set[str]:
    """The modules that a module imports in these ways, and those in turn, with itself."""
    found, waiting = set(), {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(re.findall(rf'(?:{how})"\./(\w+\.js)"', (_STATIC / name).read_text())) - found
    return found
