"""Signatures of requests, as pure functions: `sign` for our own callers, `verify` for the gateway."""
