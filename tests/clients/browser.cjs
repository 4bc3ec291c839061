// Pages in a browser that call a gateway: see browser.py.
//
//   node browser.cjs CHROMIUM PORT ORIGIN STRANGER      playwright-core is in NODE_PATH
//
// Prints {"what should hold": true, or what was there instead}. The pages reach the gateway, which
// serves those of ORIGIN and nobody else, through a wire that writes down what is asked and that
// can be cut.
"use strict";
const net = require("node:net");
const { chromium } = require("playwright-core");

const [program, port, origin, stranger] = process.argv.slice(2);
const told = {};
const tell = (what, got) => { told[what] = got; };

class Wire {
  asked = [];  // "GET /notes/1", in this order
  ids = [];    // Last-Event-ID, of those who had one
  #pairs = new Set();
  #whole = true;

  constructor() {
    this.server = net.createServer((near) => this.#join(near));
  }
  #join(near) {
    if (!this.#whole) return near.resetAndDestroy();
    const far = net.connect(Number(port), "127.0.0.1");
    const pair = [near, far];
    this.#pairs.add(pair);
    near.on("data", (bytes) => {
      const text = bytes.toString("latin1");
      for (const [line] of text.matchAll(/^[A-Z]+ \/\S* HTTP/gm)) this.asked.push(line.slice(0, -5));
      for (const [, id] of text.matchAll(/^last-event-id: *(\S+)/gim)) this.ids.push(id);
    });
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on("error", () => to.destroy());
      from.on("close", () => { to.destroy(); this.#pairs.delete(pair); });
      from.pipe(to);
    }
  }
  listen() {
    return new Promise((done) => this.server.listen(0, "127.0.0.1", () => done(this.server.address().port)));
  }
  cut() {
    this.#whole = false;
    for (const [near, far] of this.#pairs) { near.resetAndDestroy(); far.destroy(); }
  }
  mend() { this.#whole = true; }
}

const write = (id, text) =>
  fetch(`http://127.0.0.1:${port}/notes`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ id, text }),
  }).then((answer) => answer.status);

// Within the page: what fetch came to, "refused" where the page is told nothing.
const ask = (page, url, how) =>
  page.evaluate(async ([url, how]) => {
    try {
      const answer = await fetch(url, how);
      return { status: answer.status, body: await answer.text() };
    } catch {
      return "refused";
    }
  }, [url, how]);

const json = (method, body) =>
  ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function calls(page, api, wire) {
  const posted = await ask(page, `${api}/notes`, json("POST", { id: 1, text: "é" }));
  tell("a POST of JSON from an origin that is named is answered",
    posted.status === 200 && posted.body === '{"id":1,"text":"é"}' || posted);
  tell("the browser asked before", wire.asked.join() === "OPTIONS /notes,POST /notes" || wire.asked);
  const others = [];
  for (const how of [{}, json("PUT", { text: "x" }), json("PATCH", { text: "x" }), { method: "DELETE" }])
    others.push((await ask(page, `${api}/notes/1`, how)).status);
  tell("GET, PUT, PATCH and DELETE are answered too", others.join() === "200,200,200,204" || others);
  const refused = await ask(page, `${api}/notes/x`, {});
  tell("the page sees what was wrong", refused.status === 400 && refused.body.includes("id") || refused);
  const odd = await ask(page, `${api}/notes/1`, { headers: { "X-Odd": "1" } });
  tell("a header that is not named is not sent", odd === "refused" || odd);
}

async function strangers(page, api, wire) {
  wire.asked.length = 0;
  const got = [];
  got.push(await ask(page, `${api}/notes/1`, {}));
  got.push(await ask(page, `${api}/notes`, json("POST", { id: 1, text: "x" })));
  got.push(await ask(page, `${api}/notes/1`, { method: "DELETE" }));
  tell("another origin reads nothing and changes nothing", got.every((each) => each === "refused") || got);
  tell("what it would change is not even sent",
    wire.asked.join() === "GET /notes/1,OPTIONS /notes,OPTIONS /notes/1" || wire.asked);
  // Such a request a browser sends without asking; the page sees no more of the answer than its kind.
  const form = await ask(page, `${api}/measure`, { method: "POST", mode: "no-cors", body: "x" });
  tell("a form of another origin tells its page nothing", form.status === 0 && form.body === "" || form);
  const followed = await page.evaluate((url) => new Promise((done) => {
    const source = new EventSource(url);
    source.onopen = () => done("open");
    source.onerror = () => done(source.readyState);
  }), `${api}/written`);
  tell("nor does it follow events", followed === 2 || followed);
}

async function events(page, api, wire) {
  await page.evaluate((url) => new Promise((done) => {
    window.seen = [];
    const source = new EventSource(url);
    source.onmessage = (event) => window.seen.push(JSON.parse(event.data).id);
    source.addEventListener("lost", (event) => window.seen.push(`lost ${event.data}`));
    source.onopen = done;
  }), `${api}/written`);
  const seen = async (count) => {
    await page.waitForFunction((count) => window.seen.length >= count, count, { timeout: 60_000 }).catch(() => {});
    return page.evaluate(() => window.seen);
  };
  for (const id of [101, 102]) await write(id, "before");
  const before = await seen(2);
  tell("events arrive", before.join() === "101,102" || before);
  wire.ids.length = 0;
  wire.cut();
  for (const id of [103, 104]) await write(id, "while nobody hears it");
  wire.mend();
  const during = await seen(4);
  tell("after a cut the browser goes on where it was", during.join() === "101,102,103,104" || during);
  tell("by Last-Event-ID", wire.ids.length > 0 || wire.ids);
  await write(105, "after");
  const after = await seen(5);
  tell("and goes on", after.join() === "101,102,103,104,105" || after);
}

async function main() {
  const wire = new Wire();
  const api = `http://127.0.0.1:${await wire.listen()}`;
  const browser = await chromium.launch({
    executablePath: program,
    headless: true,
    args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"],
    timeout: 120_000,
  });
  try {
    const page = await browser.newPage();
    await page.goto(`${origin}/index.html`, { timeout: 60_000 });
    await calls(page, api, wire);
    await events(page, api, wire);
    const other = await browser.newPage();
    await other.goto(`${stranger}/index.html`, { timeout: 60_000 });
    await strangers(other, api, wire);
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(told));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  console.log(JSON.stringify({ ...told, "all of it was tried": String(error) }));
  process.exit(1);
});
