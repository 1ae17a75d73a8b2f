// The live page: what /live tells, drawn with textContent only, since any text may hold anything.
"use strict";

(() => {
  const ROWS_MAX = 50; // in the table
  const KEPT_MAX = 500; // in memory, so that a filter has something to find
  const DRAW_MS = 250; // between two drawings of the table
  const HOLD_MS = 2500; // the table holds still while the pointer moves over it
  const SILENCE_MS = 6000; // without a word: the connection is lost
  const RETRY_MS = 3000;
  const HIDDEN_MS = 60000; // a page nobody sees lets its connection go

  const at = (id) => document.getElementById(id);
  const body = document.body;
  const rows = at("rows");
  const detail = at("detail");
  const number = new Intl.NumberFormat("en");
  const two = (n) => String(n).padStart(2, "0");

  let kept = []; // newest first
  let drawn = new Map(); // the record's place to its row, in the order drawn
  const decisions = new WeakMap(); // row to what it shows
  let names = { set: "", features: [] };
  let chosen = null;
  let paused = false;
  let holdUntil = 0;
  let waiting = 0; // made since the table was drawn last
  let skipped = 0; // left out because this browser did not keep up
  let started = false;
  let drawing = 0;

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined && text !== null) element.textContent = text;
    return element;
  };

  // ---- times and numbers

  const clock = (ms, precise) => {
    const t = new Date(ms);
    if (Number.isNaN(t.getTime())) return String(ms);
    const text = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
    return precise ? `${text}.${String(t.getMilliseconds()).padStart(3, "0")}` : text;
  };
  const iso = (ms) => {
    const t = new Date(ms);
    return Number.isNaN(t.getTime()) ? String(ms) : t.toISOString();
  };
  const rate = (n) => (n >= 10 || n === 0 ? number.format(Math.round(n)) : n.toFixed(1));
  const words = (outcome) => outcome.replace("_", " ").toLowerCase();
  const place = (d) => `${d.record.partition}@${d.record.offset}`;
  const account = (d) => (d.tenant === "default" ? d.account_id : `${d.tenant}/${d.account_id}`);

  const meter = (share, outcome) => {
    const back = make("span", `meter ${outcome || ""}`);
    const bar = make("i");
    bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
    back.append(bar);
    return back;
  };

  // ---- state of the connection

  const say = (state, text) => {
    at("state").dataset.state = state;
    if (at("state-text").textContent !== text) at("state-text").textContent = text;
    body.classList.toggle("lost", state === "lost");
  };
  const holding = () => {
    const focused = document.activeElement;
    return Date.now() < holdUntil || (rows.contains(focused) && focused.matches(":focus-visible"));
  };
  const sayLive = () => {
    if (!connected) return;
    const more = waiting > 0 ? `, ${number.format(waiting)} new` : "";
    if (paused) say("paused", `paused${more}`);
    else if (holding() && waiting > 0) say("paused", `held while you are in the list${more}`);
    else say("live", "live");
  };

  let source = null;
  let connected = false;
  let lastWord = 0;
  let lostSince = 0;
  let hiddenSince = 0;

  const lose = () => {
    if (source) source.close();
    source = null;
    if (connected || !lostSince) lostSince = Date.now();
    connected = false;
  };

  const connect = () => {
    if (source) source.close();
    source = new EventSource("/live");
    lastWord = Date.now();
    const hear = (name, act) => {
      source.addEventListener(name, (event) => {
        lastWord = Date.now();
        connected = true;
        lostSince = 0;
        act(JSON.parse(event.data));
        sayLive();
      });
    };
    hear("start", onStart);
    hear("decisions", onDecisions);
    hear("totals", onTotals);
    source.onerror = lose;
  };

  // one timer sees silence, retries and says for how long; the browser's own retries give up for
  // good when the server answers with an error
  setInterval(() => {
    const now = Date.now();
    if (document.hidden) {
      hiddenSince = hiddenSince || now;
      if (source && now - hiddenSince > HIDDEN_MS) lose();
      return;
    }
    hiddenSince = 0;
    if (source && now - lastWord > SILENCE_MS) lose();
    if (connected) {
      sayLive();
      return;
    }
    if (lostSince) {
      const seconds = Math.round((now - lostSince) / 1000);
      say("lost", `connection lost, retrying (${seconds} s)`);
    }
    if (!source && now - lastWord > RETRY_MS) connect();
  }, 500);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !source) connect();
  });

  // ---- events

  const onStart = (start) => {
    names = { set: start.feature_set, features: start.features };
    // the server's word replaces what was known; rows drawn already are known by their place
    kept = start.decisions.reverse();
    started = true;
    waiting = 0;
    skipped = 0;
    if (start.totals) onTotals(start.totals);
    draw();
  };

  const onDecisions = (made) => {
    kept = made.decisions.reverse().concat(kept);
    kept.length = Math.min(kept.length, KEPT_MAX);
    waiting += made.decisions.length + made.skipped;
    skipped += made.skipped;
    drawSoon();
  };

  const onTotals = (totals) => {
    at("per-second").textContent = rate(totals.per_second);
    spark(totals.seconds);
    const kinds = Object.keys(totals.decisions);
    const sums = { all: 0 };
    for (const kind of kinds) {
      let sum = 0;
      for (const [outcome, count] of Object.entries(totals.decisions[kind])) {
        fill(`${kind} ${outcome}`, count);
        sums[outcome] = (sums[outcome] || 0) + count;
        sum += count;
      }
      fill(`${kind} all`, sum);
      sums.all += sum;
    }
    for (const [outcome, count] of Object.entries(sums)) fill(`all ${outcome}`, count);
    for (const since of document.querySelectorAll("[data-since]")) {
      since.textContent = `since ${clock(totals.since)}`;
      since.title = iso(totals.since);
    }
    at("escalations").textContent = number.format(totals.escalations);
    at("dead-letters").textContent = number.format(totals.dead_letters);
    const last = totals.dead_letter_last;
    at("dead-letter-last").textContent = last
      ? `last dead letter: ${last.code} (${last.stage})`
      : "";
    at("lag").textContent = totals.lag === null ? "–" : number.format(totals.lag);
    notice(totals);
    sampled(totals);
  };

  const fill = (key, count) => {
    const cell = document.querySelector(`[data-count="${CSS.escape(key)}"]`);
    if (!cell) return;
    cell.textContent = number.format(count);
    cell.classList.toggle("none", count === 0);
  };

  const notice = (totals) => {
    const parts = totals.not_ready.map((part) => `${part.part}: ${part.why}`);
    const lines = parts.length > 0 ? [`not ready: ${parts.join("; ")}`] : [];
    if (totals.unreadable > 0) {
      lines.push(
        `${number.format(totals.unreadable)} records were written by another version and are not shown`,
      );
    }
    const text = lines.join(". ");
    if (at("notice").textContent !== text) at("notice").textContent = text;
    at("notice").hidden = text === "";
  };

  const sampled = (totals) => {
    const lines = [];
    if (totals.per_second > 50 && totals.shown_per_second < 0.9 * totals.per_second) {
      lines.push(
        `showing ${rate(totals.shown_per_second)} of ${rate(totals.per_second)} decisions a second,` +
          " the strictest outcomes first; the totals count all",
      );
    }
    if (skipped > 0) {
      lines.push(`${number.format(skipped)} skipped because this browser did not keep up`);
    }
    at("sampled").textContent = lines.join(". ");
  };

  const spark = (seconds) => {
    const [width, height] = [240, 48];
    const peak = Math.max(...seconds);
    const x = (i) => ((i / (seconds.length - 1)) * width).toFixed(1);
    const y = (n) => (height - 1 - (n / Math.max(peak, 1)) * (height - 4)).toFixed(1);
    const line = seconds.map((n, i) => `${i ? "L" : "M"}${x(i)} ${y(n)}`).join("");
    const path = (className, d) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", "path");
      element.setAttribute("class", className);
      element.setAttribute("d", d);
      return element;
    };
    const area = path("area", `${line}L${width} ${height}L0 ${height}Z`);
    at("spark").replaceChildren(area, path("curve", line));
    at("peak").textContent = `highest ${number.format(peak)}`;
    at("spark").setAttribute(
      "aria-label",
      `decisions per second over the last minute, highest ${number.format(peak)}`,
    );
  };

  // ---- the table

  const checked = (name) =>
    new Set(
      Array.from(document.querySelectorAll(`input[name="${name}"]:checked`), (box) => box.value),
    );

  const cell = (row, className, text) => {
    const td = make("td", className, text);
    if (text) td.title = text;
    row.append(td);
    return td;
  };

  const newRow = (d) => {
    const row = make("tr");
    decisions.set(row, d);
    cell(row, "time", clock(d.decided_at, true)).title = iso(d.decided_at);
    cell(row, "kind", d.kind);
    const subject = cell(row, "subject");
    const open = make("button", "", d.subject_id);
    open.type = "button";
    open.title = d.subject_id;
    subject.append(open);
    cell(row, "account", account(d));
    cell(row, "outcome").append(make("span", `badge ${d.outcome}`, words(d.outcome)));
    const score = cell(row, "score");
    score.append(meter(d.score, d.outcome), make("span", "", d.score.toFixed(2)));
    const top = d.reasons[0];
    if (top) cell(row, "why", top.text);
    else cell(row, "why none", "–").title = "no rule matched";
    return row;
  };

  const drawSoon = () => {
    if (!drawing) {
      drawing = setTimeout(() => {
        drawing = 0;
        draw();
      }, DRAW_MS);
    }
  };

  const draw = (now) => {
    if (!now && (paused || holding())) {
      sayLive();
      if (!paused) drawSoon();
      return;
    }
    const kinds = checked("kind");
    const outcomes = checked("outcome");
    const wanted = kept
      .filter((d) => kinds.has(d.kind) && outcomes.has(d.outcome))
      .slice(0, ROWS_MAX);
    const next = new Map();
    for (const d of wanted) next.set(place(d), drawn.get(place(d)) || newRow(d));
    for (const [known, row] of drawn) if (!next.has(known)) row.remove();
    // rows that stay are not moved, so that a focused one keeps the focus
    let before = rows.firstElementChild;
    for (const row of next.values()) {
      if (row === before) before = before.nextElementSibling;
      else rows.insertBefore(row, before);
    }
    drawn = next;
    waiting = 0;
    mark();
    sayEmpty(wanted.length, kinds, outcomes);
    at("decisions").hidden = wanted.length === 0;
    sayLive();
  };

  const sayEmpty = (count, kinds, outcomes) => {
    const empty = at("empty");
    empty.hidden = count > 0;
    if (!started) empty.textContent = "Waiting for the first word from the server…";
    else if (kinds.size === 0) empty.textContent = "No kind is chosen.";
    else if (outcomes.size === 0) empty.textContent = "No outcome is chosen.";
    else if (kept.length === 0) {
      empty.textContent =
        "No decisions yet. They appear here as soon as events arrive and are decided about.";
    } else {
      empty.textContent = `None of the newest ${number.format(kept.length)} decisions is of the chosen kinds and outcomes.`;
    }
  };

  const mark = () => {
    for (const row of drawn.values()) {
      row.classList.toggle("chosen", chosen !== null && place(decisions.get(row)) === place(chosen));
    }
  };

  // ---- one decision

  const choose = (row) => {
    chosen = decisions.get(row);
    mark();
    show(chosen);
  };

  const close = () => {
    const row = chosen && drawn.get(place(chosen));
    chosen = null;
    mark();
    detail.hidden = true;
    at("desk").classList.remove("open");
    if (row) row.querySelector("button").focus({ preventScroll: true });
  };

  const pairs = (className, list) => {
    const dl = make("dl", `pairs ${className}`);
    for (const [name, value] of list) {
      const known = value !== null;
      const look = !known ? "none" : value === "0" ? "zero" : "";
      dl.append(make("dt", "", name), make("dd", look, known ? value : "not known"));
    }
    return dl;
  };

  const plain = (name, value) => {
    if (value === null) return null;
    if (typeof value === "number" && name.endsWith("_ms")) return `${value} (${iso(value)})`;
    if (typeof value === "number" && !Number.isInteger(value)) {
      return String(Number(value.toPrecision(9)));
    }
    return String(value);
  };

  const reason = (r, outcome) => {
    const item = make("li");
    const bar = meter(r.weight, outcome);
    const line = make("p", "", r.text);
    const hint = make("p", "hint", `${r.weight.toFixed(2)}  ${r.code}  ${r.rule}`);
    item.append(bar, line, hint);
    return item;
  };

  const reasons = (d) => {
    const list = make("ul");
    list.append(...d.reasons.map((r) => reason(r, d.outcome)));
    const parts = [make("h3", "", `reasons (${d.reasons.length + d.reasons_left_out})`)];
    parts.push(d.reasons.length > 0 ? list : make("p", "none", "no rule matched"));
    if (d.reasons_left_out > 0) {
      parts.push(make("p", "hint", `${d.reasons_left_out} lighter ones are not shown`));
    }
    return parts;
  };

  const show = (d) => {
    const head = make("div", "head");
    const shut = make("button", "", "close");
    shut.type = "button";
    shut.addEventListener("click", close);
    head.append(make("span", `badge ${d.outcome}`, words(d.outcome)), make("span", "", d.kind), shut);
    const parts = [head, make("h2", "", d.subject_id)];
    parts.push(
      pairs("", [
        ["score", d.score.toFixed(4)],
        ["confidence", d.confidence.toFixed(4)],
        ["recommendation", d.recommendation || "none"],
        ["account", `${d.tenant}/${d.account_id}`],
        ["event time", iso(d.event_time)],
        ["decided at", iso(d.decided_at)],
        ...(d.profile_age_ms === null ? [] : [["profiles' age", `${d.profile_age_ms} ms`]]),
      ]),
    );
    parts.push(...reasons(d));
    if (d.degraded.length > 0) {
      parts.push(make("h3", "", "degraded"), make("p", "", d.degraded.join(", ")));
    }
    if (d.shadow.length > 0) {
      const said = d.shadow.map((s) => [s.name, `${words(s.outcome)}  ${s.score.toFixed(4)}`]);
      parts.push(make("h3", "", "challengers"), pairs("", said));
    }
    const fields = d.fields.map((f) => [f.name, plain(f.name, f.value)]);
    parts.push(make("h3", "", "event fields that rules read"));
    parts.push(fields.length > 0 ? pairs("", fields) : make("p", "none", "none"));
    const same = d.feature_set === names.set;
    const name = (i) => (same && names.features[i]) || `feature ${i}`;
    const features = d.features.map((value, i) => [name(i), plain(name(i), value)]);
    parts.push(make("h3", "", "features"), pairs("features", features));
    parts.push(
      make("h3", "", "ids"),
      pairs("", [
        ["decision", d.decision_id],
        ["event", d.event_id],
        ["source", `${d.source.topic}/${d.source.partition}@${d.source.offset}`],
        ["record", `decisions/${place(d)}`],
        ["schema", d.source.schema_id],
        ["rule set", d.rule_set],
        ["feature set", d.feature_set],
        ["model", d.model || "none"],
        ["lists", d.lists || "none"],
      ]),
    );
    detail.replaceChildren(...parts);
    detail.hidden = false;
    detail.scrollTop = 0;
    at("desk").classList.add("open");
    // the panel covers the list on a small screen: the way back must be at hand
    if (getComputedStyle(detail).position === "fixed") shut.focus({ preventScroll: true });
  };

  // ---- what people do

  rows.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(getSelection())) choose(row);
  });
  rows.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const to = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (!row || !to) return;
    event.preventDefault();
    if (row[to]) row[to].querySelector("button").focus();
  });
  rows.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse") holdUntil = Date.now() + HOLD_MS;
  });
  rows.addEventListener("pointerleave", () => {
    holdUntil = 0;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen) close();
  });
  at("filters").addEventListener("change", () => draw(true));
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("pause").addEventListener("click", () => {
    paused = !paused;
    at("pause").setAttribute("aria-pressed", String(paused));
    at("pause").textContent = paused ? "resume" : "pause";
    if (!paused) draw(true);
    sayLive();
  });

  connect();
})();
