"""The signature of a webhook: HMAC-SHA256 over the time of sending and the body."""

import hashlib
import hmac

__all__ = ["TOLERANCE_SECONDS", "is_genuine", "signed"]

TOLERANCE_SECONDS = 300
"""How old a request may be that is still taken."""


def signed(secret: bytes, timestamp: int, body: bytes) -> str:
    """Return the header `Liqtape-Signature` of a request that is sent at `timestamp` (Unix seconds).

    >>> signed(b"secret", 1_790_000_000, b"{}")[:11]
    'v1=9ef30dfc'
    """
    mac = hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1={mac.hexdigest()}"


def is_genuine(secret: bytes, timestamp: str, signature: str, body: bytes, now: float) -> bool:
    """Return whether a request came from who knows the secret, within five minutes.

    >>> is_genuine(b"secret", "1790000000", signed(b"secret", 1_790_000_000, b"{}"), b"{}", 1_790_000_100)
    True
    """
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    return hmac.compare_digest(signed(secret, int(timestamp), body), signature)
