"""The parts of the RabbitMQ adapters: topology, callers, deliveries, lanes."""
