"""Build step: the README as package indexes show it, where links into the checkout lead nowhere."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["ReadmeHook", "outside_the_checkout"]


class ReadmeHook(MetadataHookInterface):
    """Give the distribution its long description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`, which pyproject.toml declares as dynamic."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": outside_the_checkout(text)}


def outside_the_checkout(readme: str) -> str:
    """Return the README without pictures of the checkout, and with file names (all in the sdist) in place of links.

    >>> outside_the_checkout("See [how](docs/howto.md#now), [there](https://example.com) and [below](#commands).")
    'See how (`docs/howto.md`), [there](https://example.com) and [below](#commands).'
    """
    readme = re.sub(r"<picture>.*?</picture>\n*", "", readme, flags=re.DOTALL)
    readme = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]+\)\n*", "", readme)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", r"\1 (`\2`)", readme)
