"""One adapter of `sandbox.api.Spawner` per rung of isolation."""
