// Loads an AsyncAPI document with the official parser, then validates events against the payload that it describes.
//
//   node asyncapi.js DOCUMENT < events, one JSON a line
//
// Prints what is wrong, a line each; exit code 1 if anything is.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';
import Ajv from 'ajv';
import addFormats from 'ajv-formats';

const [path] = process.argv.slice(2);
const source = readFileSync(path, 'utf8');
const { document, diagnostics } = await new Parser().parse(source, { source: path });
// 0 is an error, 1 a warning; 2 and 3 are advice.
const wrong = diagnostics
  .filter((found) => found.severity < 2)
  .map((found) => `${path}:${found.range.start.line + 1}: ${found.code}: ${found.message}`);
if (!document) wrong.push(`${path}: no document`);

const payload = document?.components().messages().get('payEvent')?.payload()?.json();
if (payload) {
  const ajv = new Ajv({ strict: false });
  addFormats(ajv);
  const validate = ajv.compile(payload);
  const events = readFileSync(0, 'utf8').split('\n').filter((line) => line !== '');
  if (events.length === 0) wrong.push('no event was given');
  for (const event of events) {
    if (!validate(JSON.parse(event))) wrong.push(`${event}: ${ajv.errorsText(validate.errors)}`);
    const { eventId, ...incomplete } = JSON.parse(event);
    if (validate(incomplete)) wrong.push('an event without its id is valid, too: the payload describes nothing');
  }
} else {
  wrong.push(`${path}: no payload of payEvent`);
}
for (const line of wrong) console.log(line);
process.exitCode = wrong.length > 0 ? 1 : 0;
