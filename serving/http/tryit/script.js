"use strict";
(() => {
  const SHOWN = 200000;
  const TOLD = ["x-headgate-model", "x-headgate-version", "x-headgate-arm", "x-headgate-revision", "x-request-id"];
  const byId = (id) => document.getElementById(id);
  const form = byId("try"), body = byId("body"), key = byId("key");
  const send = byId("send"), stop = byId("stop"), status = byId("status"), told = byId("told"), answer = byId("answer");
  let under = null;

  const say = (text, kind) => {
    status.textContent = text;
    status.className = kind;
  };

  // Formatted only where reading the numbers does not change them: integers beyond 2^53 would lose digits.
  const readable = (text) => {
    if (/(^|[[,:\s])-?\d{16,}(?=[\],}\s]|$)/.test(text)) return text;
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  };

  const show = (response, text, milliseconds) => {
    const shown = readable(text);
    answer.textContent =
      shown.length > SHOWN ? `${shown.slice(0, SHOWN)}\n… ${shown.length - SHOWN} more characters` : shown;
    told.replaceChildren();
    for (const name of TOLD) {
      const value = response.headers.get(name);
      if (value === null) continue;
      const term = document.createElement("dt"), said = document.createElement("dd");
      term.textContent = name;
      said.textContent = value;
      told.append(term, said);
    }
    const retry = response.headers.get("retry-after");
    const later = retry === null ? "" : `; try again in ${retry} s`;
    say(`${response.status} ${response.statusText} in ${Math.round(milliseconds)} ms${later}`, response.ok ? "good" : "bad");
  };

  const ask = async () => {
    under = new AbortController();
    send.disabled = true;
    stop.disabled = false;
    answer.textContent = "";
    told.replaceChildren();
    say("Waiting for the answer …", "");
    const headers = { "content-type": "application/json" };
    if (key.value.trim()) headers.authorization = `Bearer ${key.value.trim()}`;
    const begun = performance.now();
    try {
      const response = await fetch(form.dataset.path, {
        method: "POST",
        headers,
        body: body.value,
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error",
        signal: under.signal,
      });
      show(response, await response.text(), performance.now() - begun);
    } catch (error) {
      say(error.name === "AbortError" ? "Stopped." : "No answer: the node cannot be reached.", "bad");
    } finally {
      send.disabled = false;
      stop.disabled = true;
      under = null;
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (under === null) ask();
  });
  stop.addEventListener("click", () => {
    if (under !== null) under.abort();
    body.focus();
  });
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  send.disabled = false;
})();
