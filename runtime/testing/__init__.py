"""Contract suites of the ports: every adapter, also one from elsewhere, can be held to them."""
