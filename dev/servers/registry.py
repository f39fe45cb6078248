"""The four servers: how each is made for the first time, started, asked and stopped."""

from dev.servers import kafka, postgres, rabbitmq, redis
from dev.servers.server import Server

SERVERS: tuple[Server, ...] = (postgres.SERVER, rabbitmq.SERVER, redis.SERVER, kafka.SERVER)
