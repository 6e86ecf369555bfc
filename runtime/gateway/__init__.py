"""The HTTP surface: authenticates, checks sizes, translates. Use cases are in `runtime.services`."""
