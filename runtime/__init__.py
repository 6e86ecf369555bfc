"""The worker and its surroundings: queue, gateway, services, records."""
