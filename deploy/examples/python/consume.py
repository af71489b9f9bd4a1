"""Sums up what each merchant has sold: AMQP_URL=amqp://… python consume.py DATABASE_FILE

It ends when the broker goes away; let it be started again.
"""

import json
import os
import sqlite3
import sys

import pika
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from pay.v1.pay_event_pb2 import PAY_EVENT_TYPE_SUCCESS, PURPOSE_RECHARGE, PayEvent

KEY = "pay.success"
QUEUE = f"sales-python.{KEY}.queue"


def declare(channel):
    """The arguments of payrelay's own queues: nothing is dropped, no publish is refused, and what is rejected is kept."""
    channel.exchange_declare("pay.direct", "direct", durable=True)
    dead_letters = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000}
    channel.queue_declare(f"{QUEUE}.dlq", durable=True, arguments=dead_letters)
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-overflow": "reject-publish",  # without a limit of length, or it would stop everybody
        "x-dead-letter-strategy": "at-least-once",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{QUEUE}.dlq",
    }
    channel.queue_declare(QUEUE, durable=True, arguments=arguments)
    channel.queue_bind(QUEUE, "pay.direct", KEY)


def decode(content_type, body):
    """The event; None for a bare order number of an older publisher, which carries no amount, and for a recharge: no sale."""
    content_type = (content_type or "").split(";")[0].strip().lower()
    if content_type in ("application/protobuf", "application/x-protobuf"):
        event = PayEvent.FromString(body)
    elif content_type == "application/json" or content_type.endswith("+json"):
        value = json.loads(body)
        if isinstance(value, dict):  # null is a field that is not set
            value = {name: content for name, content in value.items() if content is not None}
        if is_bare(value):
            return None
        if not isinstance(value, dict):
            raise ValueError("JSON: expected an event or an order number")
        # Takes both names of a field, and enums as numbers.
        event = json_format.ParseDict(value, PayEvent(), ignore_unknown_fields=True)
    elif content_type in ("text/plain", "application/x-java-serialized-object"):
        return None
    else:
        raise ValueError(f"content_type {content_type}")
    if event.type != PAY_EVENT_TYPE_SUCCESS or event.amount_minor <= 0:
        raise ValueError(f"no success: {event.type}, {event.amount_minor}")
    if not (event.merchant_id and event.order_no and event.pay_order_no and event.currency):
        raise ValueError("merchant_id, order_no, pay_order_no, currency: expected a text each")
    return event if event.purpose != PURPOSE_RECHARGE else None


def is_bare(value):
    """Whether the JSON is an order number, or an object with nothing but one."""
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("orderNo", value.get("order_no"))
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def handle(database, event):
    """The key and the effect are one transaction: an event that comes again finds its key, and has no effect."""
    # For refunds the last part is the refunded amount.
    key = f"{event.merchant_id}/{event.order_no}/{event.pay_order_no}/{KEY}/0"
    with database:
        if database.execute("INSERT OR IGNORE INTO handled_events VALUES (?)", (key,)).rowcount:
            database.execute(
                "INSERT INTO sales VALUES (?, ?, ?) ON CONFLICT (merchant_id, currency)"
                " DO UPDATE SET amount_minor = amount_minor + excluded.amount_minor",
                (event.merchant_id, event.currency, event.amount_minor),
            )


database = sqlite3.connect(sys.argv[1])
database.execute("CREATE TABLE IF NOT EXISTS handled_events (event_key TEXT PRIMARY KEY)")
database.execute(
    "CREATE TABLE IF NOT EXISTS sales"
    " (merchant_id TEXT, currency TEXT, amount_minor INTEGER, PRIMARY KEY (merchant_id, currency))"
)
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
declare(channel)
channel.basic_qos(prefetch_count=100)
print("consuming", QUEUE, flush=True)
for method, properties, body in channel.consume(QUEUE):
    try:
        event = decode(properties.content_type, body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        print("to the dead letters:", properties.message_id, error, file=sys.stderr)
        channel.basic_reject(method.delivery_tag, requeue=False)
        continue
    while event is not None:
        try:
            handle(database, event)
            break
        except sqlite3.OperationalError as error:
            print("waiting for the database:", error, file=sys.stderr)
            connection.sleep(1)  # an outage is no reason to give anything back; heartbeats go on
    channel.basic_ack(method.delivery_tag)  # last, after the commit
