// The figures of this process: what /metrics tells, as the dashboards have it. Names and label values are
// weir's own; text is set as text all the same.
"use strict";

(() => {
  const EVERY_MS = 2000;
  const WINDOW = 5; // answers that a rate or a quantile is taken over: ten seconds
  const KEPT = 60; // points of a line
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

  // one answer: name to [labels, value] pairs
  const parse = (text) => {
    const found = new Map();
    for (const line of text.split("\n")) {
      const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (!match) continue;
      const labels = {};
      for (const [, name, value] of (match[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
      if (!found.has(match[1])) found.set(match[1], []);
      found.get(match[1]).push([labels, Number(match[3])]);
    }
    return found;
  };

  const answers = []; // {at, metrics}, oldest first
  const newest = () => answers[answers.length - 1];
  const oldest = () => answers[Math.max(0, answers.length - 1 - WINDOW)];
  const samples = (answer, name) => (answer && answer.metrics.get(name)) || [];
  const sum = (answer, name, keep = () => true) => {
    const kept = samples(answer, name).filter(([labels]) => keep(labels));
    return kept.length ? kept.reduce((total, [, value]) => total + value, 0) : null;
  };
  const most = (name, keep = () => true) => {
    const kept = samples(newest(), name).filter(([labels]) => keep(labels));
    return kept.length ? Math.max(...kept.map(([, value]) => value)) : null;
  };
  const rate = (name, keep) => {
    const [from, to] = [oldest(), newest()];
    const after = sum(to, name, keep);
    const seconds = (to.at - from.at) / 1000;
    if (after === null || seconds <= 0) return null;
    // a series that was not there yet began at nothing
    return Math.max(0, after - (sum(from, name, keep) || 0)) / seconds;
  };
  // as histogram_quantile has it: linear within a bucket
  const quantile = (share, name) => {
    const buckets = new Map();
    const add = (answer, sign) => {
      for (const [labels, value] of samples(answer, `${name}_bucket`)) {
        const le = labels.le === "+Inf" ? Infinity : Number(labels.le);
        buckets.set(le, (buckets.get(le) || 0) + sign * value);
      }
    };
    add(newest(), 1);
    if (oldest() !== newest()) add(oldest(), -1);
    const sorted = [...buckets].sort((a, b) => a[0] - b[0]);
    if (!sorted.length || sorted[sorted.length - 1][1] <= 0) return null;
    const rank = share * sorted[sorted.length - 1][1];
    let [below, before] = [0, 0];
    for (const [le, count] of sorted) {
      if (count >= rank) return le === Infinity ? below : below + ((le - below) * (rank - before)) / Math.max(count - before, 1e-9);
      [below, before] = [le, count];
    }
    return below;
  };

  const time = (seconds) => {
    if (seconds < 1) return `${number.format(seconds * 1000)} ms`;
    return seconds < 120 ? `${number.format(seconds)} s` : `${number.format(seconds / 60)} min`;
  };
  const bytes = (n) => `${number.format(n / 1048576)} MB`;
  const perSecond = (n) => `${n >= 100 ? whole.format(n) : number.format(n)}/s`;
  const count = (n) => whole.format(n);
  const sorted = (names) => [...new Set(names)].sort();
  const labelled = (name, label) => sorted(samples(newest(), name).map(([labels]) => labels[label]));

  // title, value now, how it is written, what stands below it
  const latency = "weir_decision_duration_seconds";
  const figures = [
    ["decisions", () => rate("weir_decisions_total"), perSecond, () =>
      labelled("weir_decisions_total", "outcome").map((outcome) =>
        `${outcome.replace("_", " ").toLowerCase()} ${perSecond(rate("weir_decisions_total", (l) => l.outcome === outcome) || 0)}`)],
    ["decision p99", () => quantile(0.99, latency), time, () => {
      const [p50, p999] = [quantile(0.5, latency), quantile(0.999, latency)];
      return p50 === null ? [] : [`p50 ${time(p50)}`, `p99.9 ${time(p999)}`];
    }],
    ["longest wait of a record", () => most("weir_lag_wait_seconds"), time, () => [`${count(sum(newest(), "weir_lag_records") || 0)} records wait`]],
    ["commits", () => rate("weir_commits_total"), perSecond, () => {
      const took = quantile(0.99, "weir_commit_duration_seconds");
      return took === null ? [] : [`p99 ${time(took)}`, `${number.format((rate("weir_sent_bytes_total") || 0) / 1024)} kB/s`];
    }],
    ["input refused", () => rate("weir_dead_letters_total") || 0, perSecond, () => [`${count(sum(newest(), "weir_dead_letters_total") || 0)} dead letters`,
      `${count(sum(newest(), "weir_records_discarded_total") || 0)} duplicates`]],
    ["restarts", () => sum(newest(), "weir_restarts_total") || 0, count, () => {
      const reasons = labelled("weir_restarts_total", "reason");
      return reasons.length ? reasons : ["none since the start"];
    }],
    ["left out under pressure", () => most("weir_pressure_steps") || 0, count, () =>
      [["nothing", "attributions", "attributions, shadows", "attributions, shadows, the model"][most("weir_pressure_steps") || 0]]],
    ["stored", () => rate("weir_store_rows_total"), perSecond, () =>
      labelled("weir_store_rows_total", "table").map((table) => `${table} ${perSecond(rate("weir_store_rows_total", (l) => l.table === table) || 0)}`)],
    ["store behind", () => most("weir_sink_lag_seconds", (l) => l.sink === "store"), time, () =>
      [`${count(most("weir_sink_lag_records", (l) => l.sink === "store") || 0)} records`]],
    ["accounts in memory", () => sum(newest(), "weir_state_accounts"), count, () => {
      const held = sum(newest(), "weir_state_bytes");
      return held ? [bytes(held)] : [];
    }],
    ["memory", () => sum(newest(), "weir_process_resident_bytes"), bytes, () => [`${count(sum(newest(), "weir_process_open_files") || 0)} open files`]],
    ["parts not ready", () => samples(newest(), "weir_part_ready").filter(([, value]) => value === 0).length, count, () =>
      [samples(newest(), "weir_part_ready").filter(([, value]) => value === 0).map(([labels]) => labels.part).join(", ") || "all work"]],
  ];

  const board = document.getElementById("figures");
  const state = document.getElementById("state");
  const make = (tag, className) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    return element;
  };
  const svg = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);
  const cards = figures.map(([title]) => {
    const card = make("section", "figure");
    const [head, value, hint, line, path] = [make("h2"), make("p", "value"), make("p", "hint"), svg("svg"), svg("path")];
    head.textContent = title;
    value.textContent = "–";
    line.setAttribute("viewBox", "0 0 240 48");
    line.setAttribute("preserveAspectRatio", "none");
    line.setAttribute("role", "img");
    line.setAttribute("aria-label", `${title}, the last two minutes`);
    line.append(path);
    card.append(head, value, line, hint);
    board.append(card);
    return { value, hint, path, points: [] };
  });

  const draw = () => {
    figures.forEach(([, read, write, below], index) => {
      const card = cards[index];
      const now = read();
      card.value.textContent = now === null ? "–" : write(now);
      card.hint.textContent = below().join(" · ");
      // what is not known yet is no point
      if (now !== null) card.points = [...card.points, now].slice(-KEPT);
      const top = Math.max(...card.points, 1e-9);
      const x = (at) => ((at + KEPT - card.points.length) * 240) / (KEPT - 1);
      card.path.setAttribute("d", card.points.map((y, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${(46 - (y / top) * 44).toFixed(1)}`).join(""));
    });
  };

  const tell = (name, text) => {
    state.dataset.state = name;
    state.firstElementChild.textContent = text;
  };

  const ask = async () => {
    try {
      const answer = await fetch("/metrics", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS * 2) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      answers.push({ at: performance.now(), metrics: parse(await answer.text()) });
      answers.splice(0, answers.length - WINDOW - 1);
      draw();
      tell("live", "live");
    } catch (error) {
      tell("lost", `no answer (${error.message}), asking again`);
    }
    setTimeout(ask, EVERY_MS);
  };
  ask();
})();
