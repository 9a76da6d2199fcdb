// The form "Try it": sends the reader's request to this server and shows the answer.
// The key is in its field and nowhere else: not in storage, not in an address, not in the history.
"use strict";

(() => {
  const SHOWN_MAX = 500_000;
  const WORTH_SEEING = [
    "content-type", "x-request-id", "x-generation-id", "x-modelgates-cost", "idempotent-replayed",
    "retry-after", "x-should-retry", "www-authenticate", "allow",
  ];
  const form = document.querySelector("form.tryit");
  if (!form) return;
  const find = (name) => form.querySelector(`[data-${name}]`);
  const key = find("key"), body = find("body"), examples = find("examples"), stop = find("stop");
  const outcome = find("outcome"), answerShown = find("answer"), shown = find("shown");
  let running = null;

  class Mistake extends Error {
    constructor(field, words) {
      super(words);
      this.field = field;
    }
  }

  function header(field, name, value) {
    try {
      new Headers([[name, value]]);
    } catch {
      throw new Mistake(field, `${name} has a character that no header can carry.`);
    }
    return [name, value];
  }

  // Throws a Mistake where a field cannot be sent as it is.
  function request() {
    const inPath = {}, query = new URLSearchParams(), headers = [];
    for (const field of form.querySelectorAll("[data-parameter]")) {
      const { place, parameter } = field.dataset, value = field.value.trim();
      if (!value && field.required) throw new Mistake(field, `${parameter} is needed.`);
      if (!value) continue;
      if (place === "query") query.set(parameter, value);
      else if (place === "header") headers.push(header(field, parameter, value));
      else if (/^\.\.?$/.test(value)) throw new Mistake(field, `${parameter} cannot be ${value} in an address.`);
      else inPath[parameter] = encodeURIComponent(value);
    }
    const path = form.dataset.url.replace(/\{(\w+)\}/g, (_, name) => inPath[name]);
    const url = new URL(path, location.origin);
    url.search = query;
    if (key) {
      if (!key.value.trim()) throw new Mistake(key, "A key is needed.");
      headers.push(header(key, "Authorization", `Bearer ${key.value.trim()}`));
    }
    const sent = { method: form.dataset.method, headers, cache: "no-store", credentials: "omit" };
    if (body) {
      try {
        JSON.parse(body.value);
      } catch (error) {
        throw new Mistake(body, `The body is not JSON: ${error.message}`);
      }
      headers.push(["Content-Type", "application/json"]);
      sent.body = body.value;
    }
    return [url, sent];
  }

  // JSON with a line for each member. Numbers stay as they came: amounts have more digits than
  // JavaScript's numbers can hold.
  function pretty(text) {
    JSON.parse(text);
    const tokens = text.match(/"(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
    let line = "\n", written = "";
    tokens.forEach((token, at) => {
      const opens = token === "{" || token === "[", closes = token === "}" || token === "]";
      const empty = closes && /[{[]/.test(tokens[at - 1]) && tokens[at - 1].length === 1;
      if (opens) line += "  ";
      if (closes) line = line.slice(0, -2);
      if (closes && !empty) written += line;
      written += token === ":" ? ": " : token;
      const filled = opens && !/^[}\]]$/.test(tokens[at + 1]);
      if (token === "," || filled) written += line;
    });
    return written;
  }

  function say(words, state = "") {
    outcome.textContent = words;
    outcome.dataset.state = state;
  }

  function showHeaders(headers) {
    const rows = WORTH_SEEING.filter((name) => headers.has(name)).flatMap((name) => [
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: headers.get(name) }),
    ]);
    find("headers").replaceChildren(...rows);
  }

  // Shows streams, and any text but JSON, as it comes. Returns how many bytes there were.
  async function read(answer) {
    const isJson = /^application\/json\b/.test(answer.headers.get("content-type") ?? "");
    const decoder = new TextDecoder();
    let bytes = 0, text = "";
    const take = (piece) => {
      const kept = piece.slice(0, SHOWN_MAX - text.length);
      text += kept;
      if (!isJson) shown.append(kept);
    };
    try {
      for (const reader = answer.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        bytes += value.length;
        take(decoder.decode(value, { stream: true }));
      }
      take(decoder.decode());
    } finally {
      if (isJson) shown.textContent = attempt(() => pretty(text)) ?? text;
    }
    return bytes;
  }

  function attempt(work) {
    try { return work(); } catch { return undefined; }
  }

  const count = (number) => number.toLocaleString("en");

  async function send() {
    const [url, sent] = request();
    running = new AbortController();
    const began = performance.now();
    const sinceBegin = () => `${count(Math.round(performance.now() - began))} ms`;
    stop.hidden = false;
    answerShown.hidden = true;
    shown.textContent = "";
    say("Waiting for the answer…");
    try {
      const answer = await fetch(url, { ...sent, signal: running.signal });
      const state = answer.ok ? "good" : "bad";
      const status = `${answer.status} ${answer.statusText}`.trim();
      showHeaders(answer.headers);
      answerShown.hidden = false;
      say(`${status}, began after ${sinceBegin()}`, state);
      const bytes = await read(answer);
      const cut = bytes > SHOWN_MAX ? `, of which the first ${count(SHOWN_MAX)} characters are shown` : "";
      say(`${status} after ${sinceBegin()}, ${count(bytes)} bytes${cut}`, state);
    } catch (error) {
      if (error.name === "AbortError") say(`Stopped after ${sinceBegin()}.`, "bad");
      else say("No answer: the server cannot be reached, or the connection broke off.", "bad");
    } finally {
      running = null;
      if (document.activeElement === stop) form.querySelector("[type=submit]").focus();
      stop.hidden = true;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) return;
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    send().catch((mistake) => {
      if (!(mistake instanceof Mistake)) throw mistake;
      say(mistake.message, "bad");
      mistake.field.setAttribute("aria-invalid", "true");
      mistake.field.closest("details")?.setAttribute("open", "");
      mistake.field.focus();
    });
  });
  stop.addEventListener("click", () => running?.abort());
  examples?.addEventListener("change", () => { body.value = examples.value; });
  // A page that the browser keeps for "back" would keep the key as well.
  addEventListener("pagehide", () => {
    running?.abort();
    if (key) key.value = "";
  });
  document.querySelector("[data-without-form]").hidden = true;
  form.hidden = false;
})();
