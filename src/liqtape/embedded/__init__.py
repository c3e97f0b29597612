"""A Valkey server of our own as a supervised child, for users who run no Redis."""

from liqtape.embedded.binary import server_binary
from liqtape.embedded.embeddedserver import EmbeddedServer

__all__ = ["EmbeddedServer", "server_binary"]
