"""Channels from the settings; secrets from the environment or from files, never from the settings alone."""

import os
from collections.abc import Mapping
from pathlib import Path

from liqtape.alarms.delivery.httpchannels import AlertmanagerChannel, WebhookChannel
from liqtape.alarms.delivery.messagechannel import MessageChannel
from liqtape.alarms.delivery.otherchannels import AppriseChannel, FunctionChannel, LogChannel, RedisChannel
from liqtape.alarmsettings import ChannelSettings
from liqtape.errors import ConfigurationError

__all__ = ["channel_of", "channels_of"]


def channels_of(
    channels: Mapping[str, ChannelSettings], environ: Mapping[str, str] | None = None
) -> list[MessageChannel]:
    """Return the channels that are enabled; raises ConfigurationError naming the one that cannot be had."""
    return [channel_of(name, one, environ) for name, one in channels.items() if one.enabled]


def channel_of(name: str, settings: ChannelSettings, environ: Mapping[str, str] | None = None) -> MessageChannel:
    """Return one channel."""
    variables = os.environ if environ is None else environ
    url = settings.url or _secret(name, "url", settings.url_env, settings.url_file, variables)
    if settings.kind == "log":
        return LogChannel(name)
    if settings.kind == "python":
        return FunctionChannel(name, settings.target)
    if settings.kind == "apprise":
        return AppriseChannel(name, url)
    if settings.kind == "redis":
        return RedisChannel(name, url, settings.target)
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"alerts.channels.{name}: its address must begin with http:// or https://")
    if settings.kind == "alertmanager":
        return AlertmanagerChannel(name, url)
    secret = _secret(name, "secret", settings.secret_env, settings.secret_file, variables)
    return WebhookChannel(name, url, secret.encode() if secret else None)


def _secret(name: str, what: str, variable: str, file: str, environ: Mapping[str, str]) -> str:
    """Return what the variable or the file says; empty where neither is named."""
    place = f"alerts.channels.{name}: {what}"
    if variable:
        if not environ.get(variable):
            raise ConfigurationError(f"{place}_env: the environment has no {variable}")
        return environ[variable].strip()
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{place}_file: cannot read {file}: {error}") from error
        if not text:
            raise ConfigurationError(f"{place}_file: {file} is empty")
        return text
    return ""
