"""Use cases: what the product does, over ports, without HTTP."""
