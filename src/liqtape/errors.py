"""The error tree: everything liqtape raises on purpose descends from `LiqtapeError`."""

from collections.abc import Sequence

__all__ = [
    "ConfigurationError",
    "DecodeError",
    "EmbeddedUnavailable",
    "FeedStalled",
    "LiqtapeError",
    "ListingError",
    "MissingExtra",
    "RestError",
    "SinkError",
    "SinkUnavailable",
    "SubscriptionRefused",
]


class LiqtapeError(Exception):
    """Base of all errors raised by liqtape."""


class ConfigurationError(LiqtapeError):
    """A setting, option or file is unusable; the message says what, where and how to mend it. Exit code 2."""


class MissingExtra(ConfigurationError):
    """A feature needs an optional dependency; the message names the extra to install."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'liqtape[{extra}]'")


class DecodeError(LiqtapeError):
    """A frame that is not what its venue documents. Counted and sampled; the feed goes on."""


class FeedStalled(LiqtapeError):
    """A connection is open but its data stopped; the feed reconnects."""


class SubscriptionRefused(LiqtapeError):
    """A venue refused, or never acknowledged, every topic of a connection."""


class ListingError(LiqtapeError):
    """A venue's list of instruments could not be had; the message names venue, address and what came instead."""


class RestError(LiqtapeError):
    """A venue's REST interface did not answer as it should; the message names the address and what came instead."""


class SinkError(LiqtapeError):
    """A sink's server answered with an error; the connection stays usable.

    `cause` is short and stable, for telling each once; the text is for people. `unannounced` are the alerts of the
    batch that did not get through, None where the sink cannot tell.
    """

    def __init__(self, text: str, cause: str = "", unannounced: Sequence[object] | None = None) -> None:
        super().__init__(text)
        self.cause = cause or type(self).__name__
        self.unannounced = unannounced


class SinkUnavailable(SinkError):
    """A sink's server cannot be reached; open the sink again later."""


class EmbeddedUnavailable(LiqtapeError):
    """No embedded server can run on this machine; the message says why."""
