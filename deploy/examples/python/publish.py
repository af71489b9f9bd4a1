"""Tells payrelay of a payment: AMQP_URL=amqp://… python publish.py MERCHANT_ID ORDER_NO AMOUNT_MINOR"""

import datetime
import json
import os
import sys
import time
import uuid

import pika
from pika.exceptions import AMQPError

ATTEMPTS = 5


def publish(event):
    """Returns once the broker has the event, on disk, in every queue that is bound for its type."""
    parameters = pika.URLParameters(os.environ["AMQP_URL"])
    parameters.blocked_connection_timeout = 10
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()  # from here on basic_publish raises UnroutableError or NackError
        channel.exchange_declare("pay.direct", "direct", durable=True)
        channel.basic_publish(
            "pay.direct",
            "pay.success",
            json.dumps(event),
            pika.BasicProperties(
                delivery_mode=2,  # persistent
                content_type="application/json",
                message_id=event["eventId"],
                type="pay.success",
                headers={"cloudEvents_source": "/billing"},
            ),
            mandatory=True,
        )


merchant_id, order_no, amount_minor = sys.argv[1:]
now = datetime.datetime.now(datetime.timezone.utc).isoformat()
event = {
    "eventId": str(uuid.uuid4()),
    "type": "PAY_EVENT_TYPE_SUCCESS",
    "status": "PAY_ORDER_STATUS_TRADE_SUCCESS",
    "merchantId": merchant_id,
    "orderNo": order_no,
    "payOrderNo": f"UP-{order_no}",  # your own number
    "version": "1",
    "amountMinor": amount_minor,
    "currency": "CNY",
    "channel": "upstream",
    "paidAt": now,
    "occurredAt": now,
}
for attempt in range(1, ATTEMPTS + 1):
    try:
        publish(event)  # always the same event: whoever has it already knows it
        break
    except AMQPError as error:
        if attempt == ATTEMPTS:
            sys.exit(f"not published: {error!r}")
        time.sleep(1)
print("published", event["eventId"])
