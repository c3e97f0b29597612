"""The HTTP API and the page: what a running liqtape, or a replay, shows to a browser, to `curl` and to `watch`."""
