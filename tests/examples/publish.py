"""An upstream that knows of a payment: AMQP_URL=amqp://… python publish.py MERCHANT_ID ORDER_NO AMOUNT_MINOR"""
import datetime, json, os, sys, uuid

import pika

merchant_id, order_no, amount_minor = sys.argv[1:]
now = datetime.datetime.now(datetime.timezone.utc).isoformat()
event = {
    "eventId": str(uuid.uuid4()), "type": "PAY_EVENT_TYPE_SUCCESS", "status": "PAY_ORDER_STATUS_TRADE_SUCCESS",
    "merchantId": merchant_id, "orderNo": order_no, "payOrderNo": f"UP-{order_no}", "version": "2",
    "amountMinor": amount_minor, "currency": "CNY", "channel": "upstream", "paidAt": now, "occurredAt": now,
}

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # from here on basic_publish raises UnroutableError or NackError
channel.basic_publish(
    "pay.direct", "pay.success", json.dumps(event),
    pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=event["eventId"]),
    mandatory=True,
)
connection.close()
