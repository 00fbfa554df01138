"use strict";
// Everything shown comes from /api and goes into the page as text, never as markup.
const POLL_MILLISECONDS = 3000;
const STATES = ["completed", "diverged", "failed", "running", "missing"];
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8F98"];
const byId = (id) => document.getElementById(id);
let tag = null, shown = null, chosen = null, layout = "", detailTag = "";

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key.startsWith("data-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
function drawn(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
const count = (number) => Number(number).toLocaleString("en");
const moment = (text) => new Date(text).toLocaleString("en-GB", {dateStyle: "medium", timeStyle: "medium"});

function showCounts(state) {
  const {counts} = state;
  byId("bar").replaceChildren(...STATES.filter((name) => counts[name]).map((name) => {
    const part = element("i", {className: name});
    part.style.width = `${100 * counts[name] / counts.all}%`;
    return part;
  }));
  byId("bar").setAttribute("aria-label", STATES.map((name) => `${counts[name]} ${name}`).join(", "));
  byId("legend").replaceChildren(...STATES.map((name) =>
    element("li", {}, element("i", {className: name}), `${count(counts[name])} ${name}`)));
  byId("facts").replaceChildren(...state.facts.map(([name, value]) =>
    element("div", {}, element("dt", {textContent: name}), element("dd", {textContent: value}))));
}

function buildGrid(state) {
  const [datasets, models, losses] = state.axes;
  const head = element("tr", {}, element("th"), ...datasets.titles.map((title) => element("th", {textContent: title, scope: "col"})));
  const rows = models.labels.map((model, m) => element("tr", {},
    element("th", {textContent: models.titles[m], scope: "row"}),
    ...datasets.labels.map((dataset, d) => element("td", {}, element("div", {className: "strip"},
      ...losses.labels.map((loss, l) => {
        const button = element("button", {className: "cell", type: "button", "aria-pressed": "false"});
        button.dataset.index = String((d * models.labels.length + m) * losses.labels.length + l);
        button.addEventListener("click", () => choose(dataset, model, loss, button));
        return button;
      }))))));
  byId("grid").replaceChildren(head, ...rows);
  byId("grid-caption").textContent = state.grid_caption;
}
function fillCell(button, cell, text) {
  const key = cell.join();
  if (button.dataset.key === key) return;
  button.dataset.key = key;
  const [completed, diverged, failed, running, all] = cell;
  button.classList.toggle("busy", running > 0);
  button.title = text;
  button.setAttribute("aria-label", text);
  let below = 0;
  const parts = [["completed", completed], ["diverged", diverged], ["running", running]].map(([name, number]) => {
    const part = element("i", {className: name});
    part.style.height = `${100 * number / Math.max(all, 1)}%`;
    part.style.bottom = `${below}%`;
    below += 100 * number / Math.max(all, 1);
    return part;
  });
  button.replaceChildren(...parts, ...(failed ? [element("b", {className: "failed"})] : []));
}
function showGrid(state) {
  const shape = JSON.stringify([state.axes, state.repeats]);
  if (shape !== layout) { buildGrid(state); layout = shape; }
  const [datasets, models, losses] = state.axes;
  for (const button of byId("grid").querySelectorAll(".cell")) {
    const index = Number(button.dataset.index), l = index % losses.labels.length;
    const block = Math.floor(index / losses.labels.length);
    const m = block % models.labels.length, d = Math.floor(block / models.labels.length);
    const cell = state.cells[index];
    const [completed, diverged, failed, running, all] = cell;
    const more = [[diverged, "diverged"], [failed, "failed"], [running, "running"]].filter(([n]) => n).map(([n, word]) => `, ${n} ${word}`).join("");
    fillCell(button, cell, `${datasets.titles[d]} · ${models.titles[m]} · ${losses.titles[l]}: ${completed} of ${all} done${more}`);
  }
}

function table(columns, rows) {
  const cell = (name, value, number) => value instanceof Node ? element(name, {}, value) : element(name, {textContent: value, className: number ? "number" : ""});
  return element("table", {}, element("tr", {}, ...columns.map(([title, number]) => cell("th", title, number))),
    ...rows.map((row) => element("tr", {}, ...row.map((value, i) => cell("td", value, columns[i][1])))));
}
function showPodium(state) {
  const podium = state.podium || {}, titles = new Map(state.axes[2].labels.map((label, i) => [label, state.axes[2].titles[i]]));
  const parts = [];
  for (const [axis, item] of Object.entries(podium)) {
    if (axis === "problem") continue;
    const rows = item.rows.map(({loss, texts}) => [texts.place, titles.get(loss) || loss, texts.points, texts.mean, texts.p_first, texts.p_podium]);
    parts.push(element("div", {}, element("h3", {textContent: item.title}),
      element("div", {className: "scroll"}, table([["place"], ["loss"], ["points", true], ["mean Dice", true], ["new sweep: 1st", true], ["top 3", true]], rows)),
      ...[item.refusal, item.null].filter(Boolean).map((text) => element("p", {className: "muted", textContent: text}))));
  }
  byId("podiums").replaceChildren(...parts);
  byId("notes").replaceChildren(...(state.notes || []).map((note) => element("p", {textContent: note})));
  byId("notes").hidden = byId("notes").childElementCount === 0;
  const certainty = state.certainty || {};
  byId("group").textContent = podium.problem || (parts.length === 0 ? "No trial is finished yet." : certainty.sentence || "");
  byId("podium-caption").textContent = parts.length === 0 ? "" : certainty.meaning || "";
}
function showFailures(state) {
  byId("failures").replaceChildren(state.failures.length === 0
    ? element("p", {className: "muted", textContent: "None."})
    : element("div", {className: "scroll"}, table([["when"], ["trial"], ["class"], ["attempt", true], ["message"], ["host"]],
      state.failures.map((item) => [moment(item.failed_at), item.label, item.class, String(item.attempt), element("code", {textContent: item.message}), item.host]))));
}
function showDrivers(state) {
  byId("drivers").replaceChildren(state.drivers.length === 0
    ? element("p", {className: "muted", textContent: "No driver is running on these results."})
    : element("div", {className: "scroll"}, table([["host"], ["process", true], ["since"], ["trials ended", true], ["running", true], ["last sign"]],
      state.drivers.map((item) => [item.host, String(item.process_id), moment(item.started_at), `${count(item.ended)} of ${count(item.pending)}`, String(item.running),
        item.last_sign]))));
}

async function fetchJSON(address, headers = {}) {
  const answer = await fetch(address, {headers, cache: "no-store"});
  if (answer.status === 304) return null;
  if (answer.status === 401) throw new Error("The token is missing. Open the complete address that podium watch printed.");
  const document_ = await answer.json();
  if (!answer.ok) throw new Error(document_.problem || `answer ${answer.status}`);
  return [document_, answer.headers.get("ETag")];
}
async function choose(dataset, model, loss, button) {
  for (const other of byId("grid").querySelectorAll('[aria-pressed="true"]')) other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", "true");
  chosen = {dataset, model, loss, title: button.title.split(":")[0]};
  detailTag = "";
  await showDetail();
  byId("detail-title").focus({preventScroll: true});
  byId("detail").scrollIntoView({block: "nearest"});
}
async function showDetail() {
  if (!chosen) return;
  const {dataset, model, loss, title} = chosen;
  const query = new URLSearchParams({dataset, model, loss});
  const [repeats] = await fetchJSON(`/api/cell?${query}`);
  const news = JSON.stringify([title, repeats]);
  if (news === detailTag) return;
  const answers = await Promise.all(repeats.filter((item) => item.state !== "missing").map((item) => fetchJSON(`/api/curve/${item.trial_id}`)));
  if (chosen.title !== title) return; // another bar was pressed meanwhile
  detailTag = news;
  const curves = new Map(answers.map(([item]) => [item.trial_id, item.epochs]));
  byId("detail-title").textContent = title;
  byId("repeats").replaceWith(Object.assign(table([["repeat", true], ["state"], ["Dice", true], ["epochs", true], ["time", true], ["trial"]],
    repeats.map((item) => [String(item.repeat), item.message ? `${item.state}: ${item.message}` : item.state, item.texts.dice, item.texts.epochs,
      item.texts.time, element("code", {textContent: item.trial_id})])), {id: "repeats"}));
  drawCurves(repeats, curves);
  byId("detail").hidden = false;
}
function drawCurves(repeats, curves) {
  const left = 40, right = 490, top = 14, bottom = 224, picture = byId("curves");
  const longest = Math.max(1, ...[...curves.values()].map((epochs) => Math.max(0, ...epochs.map((item) => item.epoch))));
  const x = (epoch) => longest === 1 ? (left + right) / 2 : left + (right - left) * (epoch - 1) / (longest - 1);
  const y = (dice) => bottom - (bottom - top) * dice;
  const names = [], parts = [0, 0.25, 0.5, 0.75, 1].flatMap((tick) => [
    drawn("line", {class: "axis", x1: left, x2: right, y1: y(tick), y2: y(tick)}),
    drawn("text", {x: left - 6, y: y(tick) + 4, "text-anchor": "end"}, tick.toFixed(2))]);
  parts.push(drawn("text", {x: left, y: bottom + 18}, "epoch 1"), drawn("text", {x: right, y: bottom + 18, "text-anchor": "end"}, String(longest)));
  for (const item of repeats) {
    const points = (curves.get(item.trial_id) || []).filter((epoch) => epoch.val_dice !== null);
    if (points.length === 0) continue;
    const colour = COLOURS[item.repeat % COLOURS.length];
    parts.push(drawn("polyline", {points: points.map((p) => `${x(p.epoch).toFixed(1)},${y(p.val_dice).toFixed(1)}`).join(" "), stroke: colour, "stroke-dasharray": item.state === "running" ? "5 3" : "none"}));
    const last = points[points.length - 1];
    parts.push(drawn("circle", {cx: x(last.epoch), cy: y(last.val_dice), r: 3, fill: colour}));
    names.push({x: x(last.epoch) + 6, y: y(last.val_dice) + 4, text: String(item.repeat)});
  }
  if (names.length === 0) parts.push(drawn("text", {x: (left + right) / 2, y: (top + bottom) / 2, "text-anchor": "middle"}, "The results have no epochs of these trials."));
  names.sort((one, other) => one.y - other.y);
  names.forEach((name, i) => {
    const above = names.slice(0, i).filter((other) => Math.abs(other.x - name.x) < 12).map((other) => other.y + 11);
    name.y = Math.max(name.y, ...above); // names of lines that end side by side stand below each other
    parts.push(drawn("text", {x: name.x, y: name.y}, name.text));
  });
  picture.replaceChildren(...parts);
}

async function refresh() {
  try {
    const answer = await fetchJSON("/api/state", tag ? {"If-None-Match": tag} : {});
    if (answer) {
      [shown, tag] = answer;
      byId("place").textContent = shown.place;
      if (shown.axes.length === 0) {
        byId("name").textContent = "No sweep has been started here yet";
      } else {
        byId("name").textContent = shown.name;
        document.title = `${shown.counts.completed + shown.counts.diverged}/${shown.counts.all} · ${shown.name}`;
        showCounts(shown); showGrid(shown); showPodium(shown); showFailures(shown); showDrivers(shown);
      }
    }
    await showDetail();
    byId("problem").hidden = true;
    byId("fresh").textContent = `Updated at ${new Date().toLocaleTimeString("en-GB")}, every ${POLL_MILLISECONDS / 1000} s. This page changes nothing in the results.`;
  } catch (error) {
    byId("problem").hidden = false;
    byId("problem").textContent = error instanceof TypeError ? "podium watch does not answer. Start it again; this page then continues by itself." : String(error.message);
  }
  setTimeout(refresh, POLL_MILLISECONDS);
}
refresh();
