"""Options that several commands have."""

from typing import Annotated, Literal

import typer

from liqtape.venues import VENUES

__all__ = ["AsJson", "Scenario", "known_venue"]

AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object instead of text.")]
Scenario = Literal["calm", "cascade", "block", "faults"]


def known_venue(name: str) -> str:
    """Return the name of a venue as it is; raises BadParameter naming those there are."""
    if name not in VENUES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(VENUES)}.")
    return name
