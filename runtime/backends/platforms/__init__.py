"""What the adapters of platforms share."""
