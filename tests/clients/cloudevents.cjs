// Events of the CloudEvents SDK in its three forms: see cloudevents.py.
//
//   node cloudevents.cjs ADDRESS      cloudevents is in NODE_PATH
//
// Prints {"what should hold": true, or what was there instead}. What was sent arrives among those
// who follow the gateway's events.
"use strict";
const { CloudEvent, HTTP } = require("cloudevents");

const [address] = process.argv.slice(2);
const told = {};
const event = (id, note, more = {}) =>
  new CloudEvent({ id, source: "/sdk", type: "notes.written", data: { id: note, text: "é" }, ...more });
// The SDK reads batches, but has nothing that writes them.
const batch = (events) => ({
  headers: { "content-type": "application/cloudevents-batch+json" },
  body: JSON.stringify(events),
});

async function send({ headers, body }) {
  const answer = await fetch(`${address}/events`, { method: "POST", headers, body });
  return `${answer.status} ${await answer.text()}`;
}

async function tell(what, message, wanted) {
  const got = await send(message);
  told[what] = got.startsWith(wanted) || got;
}

// The notes that arrive, until there are so many or none came for too long.
async function followed(reader, count) {
  const notes = [];
  let text = "";
  const patience = setTimeout(() => reader.cancel().catch(() => {}), 20_000);
  while (notes.length < count) {
    const { value, done } = await reader.read();
    if (done) break;
    text += Buffer.from(value).toString();
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines)
      if (line.startsWith("data: ")) notes.push(JSON.parse(line.slice(6)).id);
  }
  clearTimeout(patience);
  return notes;
}

async function main() {
  const events = await fetch(`${address}/written`);
  const reader = events.body.getReader();
  const one = '202 {"accepted":1}';
  await tell("binary", HTTP.binary(event("b-1", 201)), one);
  await tell("structured", HTTP.structured(event("s-1", 202)), one);
  await tell("binary, with extensions", HTTP.binary(event("b-2", 203, { comexample: "5", subject: "a note" })), one);
  await tell("a batch", batch([event("m-1", 204).toJSON(), event("m-2", 205).toJSON()]), '202 {"accepted":2}');
  await tell("an empty batch", batch([]), '202 {"accepted":0}');
  await tell("one that is sent again", HTTP.structured(event("s-1", 202)), one);
  const none = HTTP.binary(event("b-3", 206));
  delete none.headers["ce-id"];
  await tell("without an id it is refused", none, "400");
  await tell("a batch of which one is none is refused whole",
    batch([event("m-3", 207).toJSON(), { ...event("m-4", 208).toJSON(), source: undefined }]), "400");
  await tell("data of another kind are refused", HTTP.structured(event("s-2", "none")), "400");
  await tell("the last", HTTP.binary(event("b-4", 209)), one);
  const notes = (await followed(reader, 6)).sort();
  told["each arrives once, and what was refused does not"] = notes.join() === "201,202,203,204,205,209" || notes;
  console.log(JSON.stringify(told));
  process.exit(0);
}

main().catch((error) => {
  console.log(JSON.stringify({ ...told, "all of it was tried": String(error.stack) }));
  process.exit(1);
});
