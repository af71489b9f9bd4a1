"""A queue of one's own on pay.direct: AMQP_URL=amqp://… python subscribe.py"""
import os

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.queue_declare("risk.pay.success.queue", durable=True, arguments={"x-queue-type": "quorum"})
channel.queue_bind("risk.pay.success.queue", "pay.direct", "pay.success")
channel.basic_qos(prefetch_count=100)
for method, properties, body in channel.consume("risk.pay.success.queue"):
    # The body is a pay.v1.PayEvent; make its class with: protoc -I proto --python_out=. proto/pay/v1/pay_event.proto
    print(method.routing_key, properties.message_id, properties.content_type, len(body))
    channel.basic_ack(method.delivery_tag)  # after the work, which must bear to be repeated
