// Sums up what each merchant has sold: AMQP_URL=amqp://… DATABASE_URL=postgres://… node consume.js PAY_EVENT_PROTO
// It ends when the broker goes away; let it be started again.

import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";
import pg from "pg";
import protobuf from "protobufjs";

const KEY = "pay.success";
const QUEUE = `sales-node.${KEY}.queue`;
const PayEvent = (await protobuf.load(process.argv[2])).lookupType("pay.v1.PayEvent");
const SUCCESS = "PAY_EVENT_TYPE_SUCCESS";
const SUCCESS_NUMBER = PayEvent.lookupEnum("PayEventType").values[SUCCESS];
const RECHARGE = "PURPOSE_RECHARGE";
const RECHARGE_NUMBER = PayEvent.lookupEnum("Purpose").values[RECHARGE];

/** The arguments of payrelay's own queues: nothing is dropped, no publish is refused, and what is rejected is kept. */
async function declare(channel) {
  await channel.assertExchange("pay.direct", "direct", { durable: true });
  const deadLetters = { "x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000 };
  await channel.assertQueue(`${QUEUE}.dlq`, { durable: true, arguments: deadLetters });
  const queue = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 20,
    "x-overflow": "reject-publish", // without a limit of length, or it would stop everybody
    "x-dead-letter-strategy": "at-least-once",
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": `${QUEUE}.dlq`,
  };
  await channel.assertQueue(QUEUE, { durable: true, arguments: queue });
  await channel.bindQueue(QUEUE, "pay.direct", KEY);
}

/** What can never be understood. */
class Poison extends Error {}

/** The event; null for a bare order number of an older publisher, which carries no amount, and for a recharge: no sale. */
function decode({ properties, content }) {
  const type = (properties.contentType ?? "").split(";")[0].trim().toLowerCase();
  if (type === "text/plain" || type === "application/x-java-serialized-object") return null;
  let value;
  try {
    if (type === "application/protobuf" || type === "application/x-protobuf") {
      value = PayEvent.toObject(PayEvent.decode(content), { enums: String, longs: String });
    } else if (type === "application/json" || type.endsWith("+json")) {
      value = withoutNulls(JSON.parse(content));
      if (isBare(value)) return null;
    }
  } catch (error) {
    throw new Poison(error.message);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Poison(`no event: ${type}`);
  // In JSON a field may have either name, a number or an enum either form.
  const name = (field) => field.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  const event = Object.fromEntries(Object.entries(value).map(([field, content]) => [name(field), content]));
  if (event.type !== SUCCESS && event.type !== SUCCESS_NUMBER) throw new Poison(`no success: ${event.type}`);
  for (const field of ["merchantId", "orderNo", "payOrderNo", "currency"]) {
    if (typeof event[field] !== "string" || event[field] === "") throw new Poison(`${field}: expected a text`);
  }
  const { amountMinor } = event;
  const whole = typeof amountMinor === "string" ? /^[1-9]\d{0,18}$/.test(amountMinor) : Number.isSafeInteger(amountMinor);
  if (!whole || amountMinor < 1) throw new Poison("amountMinor: expected a whole number from 1");
  return event.purpose === RECHARGE || event.purpose === RECHARGE_NUMBER ? null : event;
}

/** Null is a field that is not set. */
function withoutNulls(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, content]) => content !== null));
}

/** Whether the JSON is an order number, or an object with nothing but one. */
function isBare(value) {
  const scalar = (value) => typeof value === "string" || Number.isInteger(value);
  if (scalar(value)) return true;
  const fields = Array.isArray(value) ? [] : Object.entries(value ?? {});
  return fields.length === 1 && /^(orderNo|order_no)$/.test(fields[0][0]) && scalar(fields[0][1]);
}

/** The key and the effect are one transaction: an event that comes again finds its key, and has no effect. */
async function handle(database, event) {
  // For refunds the last part is the refunded amount.
  const key = `${event.merchantId}/${event.orderNo}/${event.payOrderNo}/${KEY}/0`;
  const client = await database.connect();
  try {
    await client.query("BEGIN");
    const insert = "INSERT INTO handled_events VALUES ($1) ON CONFLICT DO NOTHING";
    if ((await client.query(insert, [key])).rowCount === 1) {
      const add = `INSERT INTO sales VALUES ($1, $2, $3) ON CONFLICT (merchant_id, currency)
        DO UPDATE SET amount_minor = sales.amount_minor + excluded.amount_minor`;
      await client.query(add, [event.merchantId, event.currency, event.amountMinor]);
    }
    await client.query("COMMIT");
    client.release();
  } catch (error) {
    client.release(error); // closes the connection, and with it the transaction
    throw error;
  }
}

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL });
database.on("error", () => {}); // an idle connection broke: the next one is made when it is needed
await database.query(`
  CREATE TABLE IF NOT EXISTS handled_events (event_key text PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS sales
    (merchant_id text, currency text, amount_minor numeric, PRIMARY KEY (merchant_id, currency))`);
const connection = await amqp.connect(process.env.AMQP_URL);
connection.on("error", (error) => console.error(error.message));
connection.on("close", () => process.exit(1));
const channel = await connection.createChannel();
channel.on("close", () => process.exit(1));
await declare(channel);
await channel.prefetch(100);
await channel.consume(QUEUE, async (message) => {
  if (message === null) process.exit(1); // the queue was deleted
  for (;;) {
    try {
      const event = decode(message);
      if (event !== null) await handle(database, event);
      channel.ack(message); // last, after the commit
      return;
    } catch (error) {
      if (error instanceof Poison || /^2[23]/.test(error.code)) { // the database does not take such data
        console.error("to the dead letters:", message.properties.messageId, error.message);
        channel.reject(message, false);
        return;
      }
      console.error("waiting for the database:", error.message);
      await sleep(1000); // an outage is no reason to give anything back
    }
  }
});
console.log("consuming", QUEUE);
