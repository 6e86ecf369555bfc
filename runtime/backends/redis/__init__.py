"""Parts that the adapters on Redis share."""
