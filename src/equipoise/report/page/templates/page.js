"use strict";
(function () {
  // Tables: a button in each head sorts by its column; what has no figure is always last.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    const body = table.tBodies[0];
    const original = Array.from(body.rows);
    heads.forEach(function (head, column) {
      head.querySelector("button").addEventListener("click", function () {
        const numeric = original.some((row) => row.cells[column].dataset.order !== undefined);
        const usual = numeric ? "descending" : "ascending";
        const other = numeric ? "ascending" : "descending";
        const wanted = head.getAttribute("aria-sort") === usual ? other : usual;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", wanted);
        const sign = wanted === "ascending" ? 1 : -1;
        const keyed = original.map(function (row) {
          const cell = row.cells[column];
          const key = cell.dataset.order;
          if (key === undefined) return [cell.textContent, row];
          return [key === "" ? NaN : Number(key), row];
        });
        keyed.sort(function (a, b) {
          const missing = Number(a[0] !== a[0]) - Number(b[0] !== b[0]);
          if (missing || a[0] !== a[0]) return missing;
          return sign * (typeof a[0] === "string" ? a[0].localeCompare(b[0]) : a[0] - b[0]);
        });
        body.append(...keyed.map((pair) => pair[1]));
      });
    });
  }

  const holder = document.getElementById("data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const cards = Array.from(document.querySelectorAll(".card"));
  let testWasShown = false;

  function wilson(hits, trials) {
    const z = 1.959963984540054, p = hits / trials, scale = 1 + (z * z) / trials;
    const middle = p + (z * z) / (2 * trials);
    const half = z * Math.sqrt((p * (1 - p)) / trials + (z * z) / (4 * trials * trials));
    return [hits === 0 ? 0 : (middle - half) / scale, hits === trials ? 1 : (middle + half) / scale];
  }

  // The same figures as `figures_at` of the library computes from the same counts.
  function figuresAt(counts, at, prevalence, miss, alarm) {
    const hits = counts.hits[at], alarms = counts.alarms[at];
    const recall = counts.positives ? hits / counts.positives : NaN;
    const falseRate = counts.negatives ? alarms / counts.negatives : NaN;
    const right = 1000 * prevalence * recall, wrong = 1000 * (1 - prevalence) * falseRate;
    const missed = 1000 * prevalence * (1 - recall);
    return {
      hits: hits, misses: counts.positives - hits, alarms: alarms, quiet: counts.negatives - alarms,
      recall: recall, precision: hits + alarms ? hits / (hits + alarms) : NaN, specificity: 1 - falseRate,
      alarms_per_thousand: right + wrong, false_per_thousand: wrong, missed_per_thousand: missed,
      precision_there: right + wrong > 0 ? right / (right + wrong) : NaN, cost: miss * missed + alarm * wrong,
    };
  }

  const whole = new Intl.NumberFormat("en-US"), tenth = new Intl.NumberFormat("en-US",
    { minimumFractionDigits: 1, maximumFractionDigits: 1 });

  function written(name, value) {
    if (!Number.isFinite(value)) return "-";
    if (name === "hits" || name === "misses" || name === "alarms" || name === "quiet") return whole.format(value);
    if (name === "cost" || name.endsWith("_thousand")) return tenth.format(value);
    return value.toFixed(3);
  }

  function fill(cell, name, found, counts) {
    cell.textContent = written(name, found[name]);
    const trials = name === "recall" ? counts.positives : name === "precision" ? found.hits + found.alarms : 0;
    if (!trials) return;
    const ends = wilson(found.hits, trials), small = document.createElement("small");
    small.textContent = ends[0].toFixed(3) + " to " + ends[1].toFixed(3);
    cell.append(small);
  }

  function thresholdText(threshold) {
    if (threshold === null) return "never positive";
    return threshold <= 0 ? "always positive" : String(Number(threshold.toPrecision(3)));
  }

  function fieldsOf(card) {
    const found = {};
    for (const input of card.querySelectorAll("[data-field]")) {
      const value = input.value.trim() === "" ? NaN : Number(input.value);
      const most = input.dataset.field === "prevalence" ? 100 : Infinity;
      const sound = value >= 0 && value <= most;
      if (sound) input.removeAttribute("aria-invalid");
      else input.setAttribute("aria-invalid", "true");
      found[input.dataset.field] = sound ? value : NaN;
    }
    found.prevalence /= 100;
    return found;
  }

  function show(card) {
    const one = data.classes[Number(card.dataset.class)];
    const slider = card.querySelector("input[type=range]");
    if (!slider) return;
    const at = Number(slider.value), fields = fieldsOf(card);
    const text = thresholdText(one.thresholds[at]);
    card.querySelector("[data-shown=threshold]").textContent = text;
    let first = null;
    for (const role of Object.keys(one.roles)) {
      const counts = one.roles[role];
      const found = figuresAt(counts, at, fields.prevalence, fields.miss, fields.alarm);
      first = first || found;
      for (const cell of card.querySelectorAll("td[data-role=" + role + "]")) {
        const name = cell.dataset.figure;
        if (name) fill(cell, name, found, counts);
      }
    }
    const alarms = Number.isFinite(first.alarms_per_thousand)
      ? ", " + tenth.format(first.alarms_per_thousand) + " alarms per thousand" : "";
    const precision = Number.isFinite(first.precision) ? ", precision " + first.precision.toFixed(2) : "";
    slider.setAttribute("aria-valuetext", text + ": recall " + first.recall.toFixed(2) + precision + alarms);
    card.classList.toggle("changed", Boolean(data.rule) && at !== one.chosen);
    const chart = card.querySelector("svg[data-box]");
    if (chart) {
      const box = chart.dataset.box.split(" ").map(Number), mark = chart.querySelector(".mark");
      const up = Number.isFinite(first.precision) ? first.precision : 1;
      mark.setAttribute("cx", String(box[0] + box[2] * first.recall));
      mark.setAttribute("cy", String(box[1] - box[3] * up));
    }
  }

  function cheapest(card) {
    const one = data.classes[Number(card.dataset.class)], fields = fieldsOf(card);
    const counts = one.roles[Object.keys(one.roles)[0]];
    let best = one.chosen, least = Infinity;
    for (let at = 0; at < one.thresholds.length; at += 1) {
      const cost = figuresAt(counts, at, fields.prevalence, fields.miss, fields.alarm).cost;
      if (cost < least - 1e-12) { least = cost; best = at; }
    }
    return best;
  }

  function moved() {
    return cards.filter(function (card) {
      const slider = card.querySelector("input[type=range]");
      return slider && Number(slider.value) !== data.classes[Number(card.dataset.class)].chosen;
    });
  }

  function tell() {
    const status = document.getElementById("moved");
    if (!status) return;
    const count = moved().length;
    const noun = data.classes.length === 1 ? " threshold was moved." : " thresholds were moved.";
    status.textContent = count ? count + " of " + data.classes.length + noun : "";
  }

  for (const card of cards) {
    const slider = card.querySelector("input[type=range]");
    if (!slider) continue;
    slider.addEventListener("input", () => show(card));
    slider.addEventListener("change", tell);
    for (const field of card.querySelectorAll("[data-field]")) field.addEventListener("input", () => show(card));
    for (const button of card.querySelectorAll("[data-move]")) {
      button.addEventListener("click", function () {
        const chosen = data.classes[Number(card.dataset.class)].chosen;
        slider.value = String(button.dataset.move === "fitted" ? chosen : cheapest(card));
        show(card);
        tell();
      });
    }
    show(card);
  }

  const box = document.getElementById("show-test"), explorer = document.getElementById("explorer");
  if (box) {
    box.checked = false;
    explorer.classList.add("without-test");
    box.addEventListener("change", function () {
      testWasShown = testWasShown || box.checked;
      explorer.classList.toggle("without-test", !box.checked);
    });
  }

  // The rule as saved: that of the run, with the thresholds of the sliders, and where they come from.
  function savedRule() {
    const rule = JSON.parse(JSON.stringify(data.rule));
    const changed = moved();
    if (!changed.length) return rule;
    for (const card of changed) {
      const index = Number(card.dataset.class);
      rule.thresholds[index] = data.classes[index].thresholds[Number(card.querySelector("input[type=range]").value)];
    }
    const names = changed.map((card) => data.classes[Number(card.dataset.class)].name);
    rule.maximize = "fixed";
    for (const key of ["interval_low", "interval_high", "fitted_values", "corrected_values", "fitted_overall",
      "corrected_overall"]) rule[key] = null;
    rule.notes = rule.notes.concat(
      "Chosen by hand in the threshold explorer of the report of " + data.run + ": " + names.join(", ") +
      ". All other thresholds are those of the run, fitted for " + data.rule.maximize + ".");
    if (testWasShown) rule.notes.push("The test role was in view while thresholds were chosen by hand, so figures on " +
      "it are too good. Judge this rule on other rows.");
    return rule;
  }

  const save = document.getElementById("save"), reset = document.getElementById("reset");
  if (save) {
    save.addEventListener("click", function () {
      const text = JSON.stringify(savedRule(), null, 2) + "\n";
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      link.download = "decision.json";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
    reset.addEventListener("click", function () {
      for (const card of cards) {
        const slider = card.querySelector("input[type=range]");
        if (!slider) continue;
        slider.value = String(data.classes[Number(card.dataset.class)].chosen);
        show(card);
      }
      tell();
    });
  }
})();
