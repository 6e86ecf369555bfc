"""Adapters: one file per port and technology, chosen in `runtime.adapters`."""
