"""AMQP 0-9-1 on an asyncio.Protocol: what the hot path of RabbitMQ needs."""
