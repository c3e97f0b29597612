"""Who may do what at the embedded server: everybody on this machine reads, the program that started it writes.

The writer comes through a socket in a directory that is its user's alone: a program that takes over the port when the
server has died is not talked to, and gets no password. The password is for those who can reach the socket all the same.
"""

import hashlib
import re
import secrets
import tempfile
from pathlib import Path
from urllib.parse import quote

__all__ = ["Access", "reader_rules"]

_WRITER = "liqtape"
_LONGEST_PATH = 100  # a socket's path has 104 to 108 bytes, its end included
_KEYS = ("velocity:*", "btc:price:current", "cascade:*", "liqtape:*")
_CHANNELS = ("liqtape:*",)
_GREETINGS = "ping echo hello quit select info command client|setinfo client|setname client|getname client|id"
_LISTENING = "subscribe unsubscribe psubscribe punsubscribe"
_READING = (
    "get strlen hget hmget hgetall hkeys hvals hlen hexists hscan lrange llen lindex ttl pttl exists type scan keys"
)
_NO_PATTERN = re.compile(r"[^\w:./+-]")  # of a prefix: what means something in a pattern, and blanks


def reader_rules(prefix: str) -> str:
    """Return the rules of the user that needs no password.

    >>> reader_rules("").split()[:6]
    ['on', 'nopass', 'resetkeys', 'resetchannels', '-@all', '%R~velocity:*']
    """
    start = _NO_PATTERN.sub("?", prefix)
    keys = [f"%R~{start}{key}" for key in _KEYS]
    channels = [f"&{start}{channel}" for channel in _CHANNELS]
    commands = [f"+{name}" for name in f"{_GREETINGS} {_LISTENING} {_READING}".split()]
    return " ".join(["on", "nopass", "resetkeys", "resetchannels", "-@all", *keys, *channels, *commands])


class Access:
    """The two users of one server: `configuration` is what it reads, `writer_url` the way in of the writer."""

    __slots__ = ("_own_directory", "_password", "_prefix", "_socket")

    def __init__(self, directory: Path, prefix: str) -> None:
        self._password = secrets.token_hex(32)
        self._prefix = prefix
        self._own_directory: tempfile.TemporaryDirectory[str] | None = None
        self._socket = directory / "writer.sock"
        if len(bytes(self._socket)) > _LONGEST_PATH:
            self._own_directory = tempfile.TemporaryDirectory(prefix="liqtape-", dir="/tmp")
            self._socket = Path(self._own_directory.name, "writer.sock")

    def configuration(self) -> str:
        """Return lines of a configuration file; of the password they have a hash."""
        hashed = hashlib.sha256(self._password.encode()).hexdigest()
        return (
            f"unixsocket {_quoted(str(self._socket))}\nunixsocketperm 700\n"
            f"user default {reader_rules(self._prefix)}\n"
            f"user {_WRITER} on #{hashed} ~* &* +@all\n"
        )

    @property
    def writer_url(self) -> str:
        """Address of database 1 for the writer, with its password."""
        return f"unix://{_WRITER}:{self._password}@{quote(str(self._socket))}?db=1"

    def release(self) -> None:
        """Remove what is not in the server's directory."""
        if self._own_directory is not None:
            self._own_directory.cleanup()


def _quoted(text: str) -> str:
    """Return a word as configuration files spell it."""
    return (
        '"'
        + "".join(f"\\x{byte:02x}" if byte in b'"\\' or not 32 <= byte < 127 else chr(byte) for byte in text.encode())
        + '"'
    )
