"""The AsyncAPI 3 document of every channel, operation and message, generated from the message classes."""

from typing import Any

from apps.events.brokers.topology import rabbitmq
from apps.messages.base import Command, Message, Status, Transport, WakeUp, all_messages
from apps.messages.topics import TOPICS

_REFERENCE = "#/components/schemas/{model}"

Json = dict[str, Any]

HEADERS: Json = {
    "type": "object",
    "description": "CloudEvents 1.0 attributes. On Kafka their names begin with ce_, on AMQP with cloudEvents_.",
    "properties": {
        "id": {"type": "string", "format": "uuid", "description": "The event's id: the same on every delivery."},
        "type": {"type": "string"},
        "source": {"type": "string", "description": "The aggregate: /<type>/<id>."},
        "time": {"type": "string", "format": "date-time"},
        "sequence": {
            "type": "string",
            "pattern": "^[0-9]{20}$",
            "description": "The event's number within its aggregate.",
        },
        "partitionkey": {"type": "string", "format": "uuid"},
        "correlationid": {"type": "string", "format": "uuid"},
        "causationid": {"type": "string", "format": "uuid"},
        "traceparent": {"type": "string", "description": "W3C trace context of the request that caused the message."},
        "actor": {
            "type": "string",
            "description": "JSON object: who caused the message (kind user, staff, anonymous or service; id; session; "
            "key; and client, a digest of network address and user agent, which are in no message).",
        },
    },
}


def asyncapi_document() -> Json:
    """The AsyncAPI 3.0 document of all channels, operations and messages."""
    schemas: Json = {}
    messages = {_message_id(message): _message(message, schemas) for message in all_messages()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Muckard event backbone",
            "version": "1.0.0",
            "description": "Every message of the platform. Generated from apps/messages.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {"bootstrap": {"default": "127.0.0.1:19092"}},
            },
            "rabbitmq": {
                "host": "{broker}",
                "protocol": "amqp",
                "variables": {"broker": {"default": "127.0.0.1:15672"}},
            },
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }


def _message_id(message: type[Message]) -> str:
    return f"{message.declaration.name}.v{message.declaration.version}"


def _message(message: type[Message], schemas: Json) -> Json:
    payload = message.model_json_schema(mode="serialization", ref_template=_REFERENCE)
    schemas.update(payload.pop("$defs", {}))
    description = payload.pop("description", None)
    return {
        "name": message.declaration.name,
        "title": message.__name__,
        **({"summary": " ".join(description.split())} if description else {}),
        "contentType": "application/json",
        "headers": HEADERS,
        "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": payload},
    }


def _channels() -> Json:
    channels: Json = {}
    for topic in TOPICS:
        channels[topic.name] = {
            "address": topic.name,
            "servers": [{"$ref": "#/servers/kafka"}],
            "messages": _references(topic.name),
            "bindings": {
                "kafka": {
                    "topic": topic.name,
                    "partitions": topic.partitions,
                    "topicConfiguration": {
                        "cleanup.policy": ["delete"],
                        "retention.ms": int(topic.retention.total_seconds() * 1000),
                    },
                    "bindingVersion": "0.5.0",
                }
            },
        }
    arguments = {queue.name: queue.arguments for queue in rabbitmq.queues()}
    for message in all_messages():
        if message.declaration.transport is Transport.RABBITMQ:
            queue = message.declaration.destination
            channels[queue] = _queue_channel(message, arguments[queue])
    return channels


def _queue_channel(message: type[Message], arguments: Json) -> Json:
    queue = message.declaration.destination
    return {
        "address": queue,
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": _references(queue),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": queue, "durable": True, "exclusive": False, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
        "x-priority": message.declaration.priority.value,
        "x-queue-arguments": arguments,
    }


def _references(destination: str) -> Json:
    return {
        _message_id(message): {"$ref": f"#/components/messages/{_message_id(message)}"}
        for message in all_messages()
        if destination in (message.declaration.destination, message.declaration.journal)
    }


def _operations() -> Json:
    operations: Json = {}
    for message in all_messages():
        name, channel = _message_id(message), message.declaration.destination
        kind = "command" if issubclass(message, Command) else "status" if issubclass(message, Status) else "event"
        kind = "wake-up message" if issubclass(message, WakeUp) else kind
        operations[f"publish.{name}"] = {
            "action": "send",
            "title": f"Publish the {kind} {message.declaration.name}",
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"}],
        }
    return operations
