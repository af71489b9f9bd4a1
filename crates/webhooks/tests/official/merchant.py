"""WEBHOOK_SECRET=whsec_… python merchant.py PORT DATABASE_FILE"""

import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
database = sqlite3.connect(sys.argv[2])
database.execute("CREATE TABLE IF NOT EXISTS webhooks (webhook_id TEXT PRIMARY KEY)")
database.execute("CREATE TABLE IF NOT EXISTS payments (pay_order_no TEXT PRIMARY KEY, version INTEGER, status TEXT)")


def apply(webhook_id, data):
    """One transaction: what comes again changes nothing, nor does what is older than what is known."""
    with database:
        if database.execute("INSERT OR IGNORE INTO webhooks VALUES (?)", (webhook_id,)).rowcount == 0:
            return False
        changed = database.execute(
            "INSERT INTO payments VALUES (?, ?, ?) ON CONFLICT (pay_order_no) DO UPDATE"
            " SET version = excluded.version, status = excluded.status WHERE excluded.version > payments.version",
            (data["pay_order_no"], data["version"], data["status"]),
        )
        return changed.rowcount == 1


class Merchant(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            payload = webhook.verify(body, dict(self.headers))  # the bytes as they came
        except (WebhookVerificationError, ValueError) as error:
            return self.answer(401, f"refused: {error}")
        data = payload["data"]
        new = apply(self.headers["webhook-id"], data)
        said = f"{data['pay_order_no']} {data['version']} {data['status']}"
        self.answer(204, f"{'applied' if new else 'known'} {said}")

    def answer(self, status, said):
        print(said, flush=True)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Merchant).serve_forever()
