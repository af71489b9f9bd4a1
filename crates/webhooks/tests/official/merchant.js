// WEBHOOK_SECRET=whsec_… node merchant.js PORT

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
// Tables of yours, written in one transaction: webhook ids, unique; and each pay order with its newest version.
const webhookIds = new Set();
const payments = new Map();

/** What comes again changes nothing, nor does what is older than what is known. */
function apply(webhookId, data) {
  if (webhookIds.has(webhookId)) return false;
  webhookIds.add(webhookId);
  if ((payments.get(data.pay_order_no)?.version ?? 0) >= data.version) return false;
  payments.set(data.pay_order_no, { version: data.version, status: data.status });
  return true;
}

async function receive(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let payload;
  try {
    payload = webhook.verify(Buffer.concat(chunks), request.headers); // the bytes as they came
  } catch (error) {
    console.log("refused:", error.message);
    response.writeHead(401).end();
    return;
  }
  const { data } = payload;
  const isNew = apply(request.headers["webhook-id"], data);
  console.log(isNew ? "applied" : "known", data.pay_order_no, data.version, data.status);
  response.writeHead(204).end();
}

createServer(receive).listen(Number(process.argv[2]), "127.0.0.1");
