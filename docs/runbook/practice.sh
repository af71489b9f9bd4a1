# Starts a private pipeline and pays one order, so that the commands of the runbook can be tried.
# Source it from the root of the repository, with `payrelay` on the PATH:
#
#   . docs/runbook/practice.sh
#
# Everything that it starts ends with the shell. To use one pipeline from several shells, export PRACTICE
# in all of them: a folder that the first shell fills.

practice=${PRACTICE:-$(mktemp -d)}

start_practice() {
  trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$practice"' EXIT

  # A merchant that acknowledges every webhook, on a free port.
  python3 -c '
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Merchant(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204); self.end_headers()
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Merchant)
open(sys.argv[1], "w").write(str(server.server_port))
server.serve_forever()' "$practice/port" &
  until [ -s "$practice/port" ]; do sleep 0.1; done

  payrelay dev --json --webhook-url "http://127.0.0.1:$(cat "$practice/port")/" \
    > "$practice/dev.json" 2> "$practice/dev.log" &
  until [ -s "$practice/dev.json" ]; do
    kill -0 $! 2>/dev/null || { cat "$practice/dev.log" >&2; break; }
    sleep 0.2
  done
}

[ -s "$practice/dev.json" ] || start_practice
value() { sed "s|.*\"$1\":\"\([^\"]*\)\".*|\1|" "$practice/dev.json"; }

PAYRELAY_ADMIN_TOKEN=$(value admin_token)
PAYRELAY_INGRESS_ADMIN_URL=$(value ingress_admin_url)
PAYRELAY_ORDER_SERVICE_ADMIN_URL=$(value order_service_admin_url)
PAYRELAY_NOTIFIER_ADMIN_URL=$(value notifier_admin_url)
PAYRELAY_AMQP_URL=$(value amqp_url)
PAYRELAY_MANAGEMENT_URL=$(value management_url)
PAYRELAY_DATABASE_URL=$(value database_url)
PAYRELAY_RETRY_DELAYS=1s,2s,3s
export PAYRELAY_ADMIN_TOKEN PAYRELAY_INGRESS_ADMIN_URL PAYRELAY_ORDER_SERVICE_ADMIN_URL PAYRELAY_NOTIFIER_ADMIN_URL
export PAYRELAY_AMQP_URL PAYRELAY_MANAGEMENT_URL PAYRELAY_DATABASE_URL PAYRELAY_RETRY_DELAYS

# Pays a pay order by a callback of the channel account `standard_dev`: pay PAY_ORDER_NO AMOUNT_MINOR TRADE_NO
pay() (
  id="msg_$3" now=$(date -u +%Y-%m-%dT%H:%M:%SZ) timestamp=$(date +%s)
  body='{"type": "payment.succeeded", "timestamp": "'$now'", "data": {"pay_order_no": "'$1'",
    "channel_trade_no": "'$3'", "amount_minor": '$2', "currency": "CNY", "status": "SUCCESS", "success_time": "'$now'"}}'
  key=$(value secret | sed 's/whsec_//' | base64 -d | od -An -v -tx1 | tr -d ' \n')
  signature=$(printf '%s.%s.%s' "$id" "$timestamp" "$body" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
  curl -s -o /dev/null -w '%{http_code}\n' "$(value ingress_url)/v1/callbacks/standard_dev" \
    -H 'content-type: application/json' -H "webhook-id: $id" -H "webhook-timestamp: $timestamp" \
    -H "webhook-signature: v1,$signature" -d "$body"
)

# The order 10001 of the merchant dev-merchant, its pay order, and a payment of it.
curl -sf -o /dev/null "$(value order_service_url)/v1/orders" -H "authorization: Bearer $(value order_api_token)" \
  -H 'content-type: application/json' -d '{"order_no": "10001", "merchant_id": "dev-merchant", "buyer_id": "b1",
    "amount_minor": 1999, "currency": "CNY", "items": [
    {"sku": "tea", "quantity": 1, "price_minor": 1999, "shop_id": "s1", "warehouse_id": "w1"}]}'
PAY_ORDER_NO=$(curl -sf "$(value ingress_url)/v1/pay-orders" -H "authorization: Bearer $(value merchant_api_key)" \
  -H 'content-type: application/json' \
  -d '{"order_no": "10001", "amount_minor": 1999, "currency": "CNY", "channel": "standard_dev"}' |
  sed 's/.*"pay_order_no":"\([^"]*\)".*/\1/')
pay "$PAY_ORDER_NO" 1999 T1 > /dev/null

# Until the merchant has its webhook, a minute at most.
for _ in $(seq 120); do
  if payrelay notifications list --merchant dev-merchant --status DELIVERED | grep 10001 > /dev/null; then break; fi
  sleep 0.5
done
