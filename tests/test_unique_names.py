"""One word for one thing: a public class and a module have a name of their own."""

import ast
from collections import defaultdict
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1] / "src" / "liqtape"
_MODULES = sorted(_PACKAGE.rglob("*.py"))
_VENUES = {path.stem for path in (_PACKAGE / "venues").glob("*.py")}


def _is_exempt(path: Path) -> bool:
    """Whether the module says the founding document's names."""
    return path.relative_to(_PACKAGE).parts[0] == "compat"


def test_a_module_name_occurs_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in _MODULES:
        name = path.relative_to(_PACKAGE)
        # The simulator has a dialect for each venue, by the venue's name.
        is_mirror = name.parts[0] == "simulator" and path.stem in _VENUES
        if path.stem != "__init__" and not is_mirror and not _is_exempt(path):
            places[path.stem].append(str(name))

    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_public_class_name_occurs_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in _MODULES:
        if not _is_exempt(path):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(str(path.relative_to(_PACKAGE)))

    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_every_room_has_a_sentence() -> None:
    silent = [
        str(path.parent.relative_to(_PACKAGE))
        for path in _MODULES
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert silent == []
