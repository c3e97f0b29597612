"""The command `bench`: the figures the README quotes, measured here, and against an earlier revision."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from liqtape.errors import ConfigurationError

__all__ = ["bench"]

_ROUNDS = 3
_COUNTED = "instructions"
_NOISE = 0.01


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="decode, engine, flood ...; default: all.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything.")] = False,
    compare: Annotated[str | None, typer.Option(metavar="REV", help="Against the code of this revision.")] = None,
) -> int:
    """Measure the figures the README quotes; with --compare in turn with an earlier revision.

    The targets come first, each with what was measured and whether it is met, then everything measured.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "benchmarks" / "__main__.py").exists():
        raise ConfigurationError("bench runs from a checkout of liqtape: the benchmarks are not part of the package")
    arguments = [*(names or ()), *(["--quick"] if quick else [])]
    if compare is None:
        return subprocess.run(_command(arguments), cwd=root, check=False).returncode
    with _worktree(root, compare) as other:
        then: dict[str, list[float]] = {}
        now: dict[str, list[float]] = {}
        units: dict[str, str] = {}
        for _ in range(_ROUNDS):
            for tree, into in ((other, then), (root, now)):
                for key, figure in _figures(root, tree, arguments):
                    into.setdefault(key, []).append(figure["median"])
                    units[key] = figure["unit"]
    print(f"{'figure':<72} {compare[:12]:>12} {'here':>12}  here / {compare[:12]}, medians of {_ROUNDS} runs in turn")
    for key in [key for key in now if key in then]:
        before, after = statistics.median(then[key]), statistics.median(now[key])
        ratio = f"{after / before:8.3f}" if before else "       -"
        # Instructions are the same on a busy machine: more of them is more work, whatever the times say.
        mark = "  <- more" if units[key] == _COUNTED and after > before * (1 + _NOISE) else ""
        print(f"{key[:72]:<72} {before:>12.4g} {after:>12.4g}  {ratio}  {units[key]}{mark}")
    return 0


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "benchmarks", *arguments]


def _figures(root: Path, tree: Path, arguments: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of this checkout's benchmarks over the code of `tree`, by benchmark and name."""
    # What stands first on the path is imported, also before an editable install.
    environment = os.environ | {"PYTHONPATH": str(tree / "src")}
    run = subprocess.run(
        _command([*arguments, "--json"]), cwd=root, env=environment, stdout=subprocess.PIPE, check=False
    )
    if run.returncode:
        raise ConfigurationError(f"the benchmarks do not run over the code of {tree.name}; see above")
    for benchmark, figures in msgspec.json.decode(run.stdout)["figures"].items():
        for figure in figures:
            yield f"{benchmark} {figure['name']}", figure


@contextmanager
def _worktree(root: Path, revision: str) -> Iterator[Path]:
    """The revision, checked out beside this one for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="liqtape-bench-") as directory:
        tree = Path(directory) / "tree"
        made = subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(tree), revision],  # noqa: S607 - the user's git
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ConfigurationError(f"bench --compare {revision}: {made.stderr.strip() or 'git failed'}")
        try:
            yield tree
        finally:
            subprocess.run(
                ["git", "worktree", "remove", "--force", str(tree)],  # noqa: S607 - as above
                cwd=root,
                check=False,
            )
