// Sums up what each merchant has sold: AMQP_URL=amqp://… DATABASE_URL=postgres://… node consume.js PAY_EVENT_PROTO
// It ends when the broker goes away; let it be started again.

import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";
import pg from "pg";
import protobuf from "protobufjs";

const KEY = "pay.success";
const QUEUE = `sales-node.${KEY}.queue`;
const PayEvent = (await protobuf.load(process.argv[2])).lookupType("pay.v1.PayEvent");

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

/** The event; null for a bare order number of an older publisher, which carries no amount. */
function decode({ properties, content }) {
  const type = properties.contentType;
  if (type === "text/plain" || type === "application/x-java-serialized-object") return null;
  let event;
  try {
    if (type === "application/protobuf") {
      event = PayEvent.toObject(PayEvent.decode(content), { enums: String, longs: String });
    } else if (type === "application/json") {
      event = JSON.parse(content);
    }
  } catch (error) {
    throw new Poison(error.message);
  }
  if (typeof event === "string" || typeof event === "number" || Object.keys(event ?? {}).length === 1) return null;
  if (event?.type !== "PAY_EVENT_TYPE_SUCCESS" || !(event.amountMinor > 0)) throw new Poison(`no success: ${type}`);
  return event;
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
