// The reference: rows that an address names are opened, and the form "Try it" sends the reader's
// request to this server and shows the response. The key is in its field and nowhere else: not in
// storage, not in an address, not in the history.
"use strict";

(() => {
  const open = () => {
    // The ids of rows need no escapes, so a malformed fragment names nothing.
    const row = document.getElementById(location.hash.slice(1));
    if (!(row instanceof HTMLDetailsElement) || row.open) return;
    row.open = true;
    row.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();

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
  const outcome = find("outcome"), answerShown = find("answer"), shown = find("shown"), cause = find("cause");
  let running = null;

  class InvalidField extends Error {
    constructor(field, words) {
      super(words);
      this.field = field;
    }
  }

  function header(field, name, value) {
    try {
      new Headers([[name, value]]);
    } catch {
      throw new InvalidField(field, `${name} has a character that a header cannot have.`);
    }
    return [name, value];
  }

  // Throws InvalidField for a field that cannot be sent.
  function request() {
    const inPath = {}, query = new URLSearchParams(), headers = [];
    for (const field of form.querySelectorAll("[data-parameter]")) {
      const { place, parameter } = field.dataset, value = field.value.trim();
      if (!value && field.required) throw new InvalidField(field, `${parameter} is required.`);
      if (!value) continue;
      if (place === "query") query.set(parameter, value);
      else if (place === "header") headers.push(header(field, parameter, value));
      else if (/^\.\.?$/.test(value)) throw new InvalidField(field, `${parameter} cannot be ${value} in a path.`);
      else inPath[parameter] = encodeURIComponent(value);
    }
    const path = form.dataset.url.replace(/\{(\w+)\}/g, (_, name) => inPath[name]);
    const url = new URL(path, location.origin);
    url.search = query;
    if (key) {
      if (!key.value.trim()) throw new InvalidField(key, "A key is required.");
      headers.push(header(key, "Authorization", `Bearer ${key.value.trim()}`));
    }
    const sent = { method: form.dataset.method, headers, cache: "no-store", credentials: "omit" };
    if (body) {
      try {
        JSON.parse(body.value);
      } catch (error) {
        throw new InvalidField(body, `The body is not JSON: ${error.message}`);
      }
      headers.push(["Content-Type", "application/json"]);
      sent.body = body.value;
    }
    return [url, sent];
  }

  // JSON with a line for each field. Numbers stay unchanged: amounts have more digits than
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

  // Shows streams, and any text but JSON, as they arrive. Returns the number of bytes and the text.
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
    return [bytes, text];
  }

  // How similar two messages are, from 0 to 1: the share of words that they have in common.
  function similarity(one, other) {
    const [words, others] = [one, other].map((text) => new Set(text.toLowerCase().match(/\w+/g)));
    const common = [...words].filter((word) => others.has(word)).length;
    return common / Math.max(1, words.size, others.size);
  }

  // The row of this page that describes an error, or the group of its status; null if neither exists.
  function rowOf(status, text) {
    const rows = [...document.querySelectorAll(`.error[data-status="${status}"]`)];
    const { message, metadata } = attempt(() => JSON.parse(text).error) ?? {};
    const reason = metadata?.reason;
    const exact = reason && rows.find((row) => row.dataset.reason === reason);
    if (exact) return exact;
    const [best] = rows
      .map((row) => [similarity(String(message), row.querySelector(".message").textContent), row])
      .sort(([one], [other]) => other - one);
    if (rows.length === 1 || best?.[0] >= 0.5) return best[1];
    return document.getElementById(`status-${status}`);
  }

  function showCause(status, text) {
    const row = rowOf(status, text);
    cause.hidden = !row;
    if (!row) return;
    const words = row.querySelector(".cause").textContent;
    const link = Object.assign(document.createElement("a"), {
      href: `#${row.id}`,
      textContent: row.matches("details") ? words : `all causes of ${status}`,
    });
    cause.replaceChildren("Cause and remedy: ", link);
  }

  function attempt(work) {
    try { return work(); } catch { return undefined; }
  }

  const count = (number) => number.toLocaleString("en");

  async function send() {
    const [url, sent] = request();
    running = new AbortController();
    const start = performance.now();
    const elapsed = () => `${count(Math.round(performance.now() - start))} ms`;
    stop.hidden = false;
    answerShown.hidden = true;
    shown.textContent = "";
    cause.hidden = true;
    say("Waiting for the response…");
    try {
      const answer = await fetch(url, { ...sent, signal: running.signal });
      const state = answer.ok ? "good" : "bad";
      const status = `${answer.status} ${answer.statusText}`.trim();
      showHeaders(answer.headers);
      answerShown.hidden = false;
      say(`${status}, started after ${elapsed()}`, state);
      const [bytes, text] = await read(answer);
      const cut = bytes > SHOWN_MAX ? `, of which the first ${count(SHOWN_MAX)} characters are shown` : "";
      say(`${status} after ${elapsed()}, ${count(bytes)} bytes${cut}`, state);
      if (!answer.ok) showCause(answer.status, text);
    } catch (error) {
      if (error.name === "AbortError") say(`Stopped after ${elapsed()}.`, "bad");
      else say("No response: the server cannot be reached, or the connection broke.", "bad");
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
    send().catch((invalid) => {
      if (!(invalid instanceof InvalidField)) throw invalid;
      say(invalid.message, "bad");
      invalid.field.setAttribute("aria-invalid", "true");
      invalid.field.closest("details")?.setAttribute("open", "");
      invalid.field.focus();
    });
  });
  stop.addEventListener("click", () => running?.abort());
  examples?.addEventListener("change", () => { body.value = examples.value; });
  // A page that the browser keeps for its "back" button would keep the key as well.
  addEventListener("pagehide", () => {
    running?.abort();
    if (key) key.value = "";
  });
  document.querySelector("[data-without-form]").hidden = true;
  form.hidden = false;
})();
