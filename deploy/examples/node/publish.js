// Tells payrelay of a payment: AMQP_URL=amqp://… node publish.js MERCHANT_ID ORDER_NO AMOUNT_MINOR

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";

const ATTEMPTS = 5;
const CONFIRM_MS = 10_000;

/** Resolves once the broker has the event, on disk, in every queue that is bound for its type. */
async function publish(event) {
  const connection = await amqp.connect(process.env.AMQP_URL, { timeout: CONFIRM_MS });
  connection.on("error", () => {}); // whatever waits for an answer is rejected
  try {
    const channel = await connection.createConfirmChannel();
    channel.on("error", () => {});
    await channel.assertExchange("pay.direct", "direct", { durable: true });
    let returned = false;
    channel.on("return", () => { returned = true; }); // comes before the confirm
    const options = {
      persistent: true,
      mandatory: true,
      contentType: "application/json",
      messageId: event.eventId,
      type: "pay.success",
      headers: { cloudEvents_source: "/billing" },
    };
    const body = Buffer.from(JSON.stringify(event));
    const confirmed = new Promise((resolve, reject) => {
      channel.publish("pay.direct", "pay.success", body, options, (error) => (error ? reject(error) : resolve()));
    });
    // A blocked broker answers nothing at all.
    const late = sleep(CONFIRM_MS, undefined, { ref: false }).then(() => { throw new Error("not confirmed in time"); });
    await Promise.race([confirmed, late]);
    if (returned) throw new Error("no queue is bound for pay.success");
  } finally {
    await Promise.race([connection.close().catch(() => {}), sleep(1000)]);
  }
}

const [merchantId, orderNo, amountMinor] = process.argv.slice(2);
const now = new Date().toISOString();
const event = {
  eventId: randomUUID(),
  type: "PAY_EVENT_TYPE_SUCCESS",
  status: "PAY_ORDER_STATUS_TRADE_SUCCESS",
  merchantId,
  orderNo,
  payOrderNo: `UP-${orderNo}`, // your own number
  version: "1",
  amountMinor,
  currency: "CNY",
  channel: "upstream",
  paidAt: now,
  occurredAt: now,
};
for (let attempt = 1; ; attempt++) {
  try {
    await publish(event); // always the same event: whoever has it already knows it
    break;
  } catch (error) {
    if (attempt === ATTEMPTS) {
      console.error("not published:", error.message);
      process.exit(1);
    }
    await sleep(1000);
  }
}
console.log("published", event.eventId);
process.exit(0);
