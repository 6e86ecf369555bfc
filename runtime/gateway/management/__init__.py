"""The management API at `/` (spec: management API)."""
