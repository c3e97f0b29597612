"""Text of strangers, made fit for a line of a terminal or a log, and addresses without their secrets."""

import re
from unicodedata import category

__all__ = ["percent_encoded", "sanitize", "without_credentials", "without_secrets"]

_UNFIT = frozenset({"Cc", "Zl", "Zp", "Cs"})  # categories of Unicode: no text of one line can hold them
_CREDENTIALS = re.compile(r"//[^/?#\s]*@")
_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?"
_ADDRESS = re.compile(rf"(\w+://)([^@/?#\s]*@)?((?:{_HOST})?(?:,{_HOST})*(?:/[^@?#\s]*)?)((?:\?[^@#\s]*)?)")


def sanitize(text: str, longest: int = 200) -> str:
    """Without line breaks, escapes and whatever else turns a line around or hides a part of it; cut to `longest`.

    >>> sanitize("no\\x1b[2J such\\r\\n topic \\u202e!")
    'no?[2J such topic ?!'
    """
    words = " ".join(text[: 4 * longest].split())[:longest]
    return words if words.isprintable() else "".join(c if c.isprintable() else "?" for c in words)


def percent_encoded(name: str) -> str:
    """Return the name with its control characters, line breaks and lone surrogates percent-encoded, all else as it is.

    What is encoded already stays, so that encoding twice changes nothing.

    >>> percent_encoded("BTC/USDT:USDT"), percent_encoded("BTC\\nUSDT")
    ('BTC/USDT:USDT', 'BTC%0AUSDT')
    """
    if name.isprintable():
        return name
    return "".join(_percent(c) if category(c) in _UNFIT else c for c in name)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def without_credentials(text: str) -> str:
    """A text that may quote addresses of venues, none of them with its user and password.

    >>> without_credentials("cannot connect to wss://me:secret@proxy:443/ws")
    'cannot connect to wss://***@proxy:443/ws'
    """
    return _CREDENTIALS.sub("//***@", text)


def without_secrets(url: str) -> str:
    """The address of a server, of which only what cannot be a piece of a password is shown.

    >>> without_secrets("rediss://me:secret@db.example:6379/1?ssl_ca_certs=ca.pem")
    'rediss://***@db.example:6379/1?***'
    >>> without_secrets("redis://:not/encoded@db.example")
    'redis://***'
    """
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        return f"{url.partition('://')[0]}://***" if "://" in url else url
    scheme, credentials, place, query = parts.groups()
    return f"{scheme}{'***@' if credentials else ''}{place}{'?***' if query else ''}"
