/* Learning curves of single trials, drawn from the packed data. */
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BOX = { width: 900, height: 380, left: 46, right: 14, top: 12, bottom: 38 };

function unpack([dataset, model, loss, repeat, diverged, last, text]) {
  const { step, levels } = data.curves;
  const points = [];
  for (let index = 0; 2 * index < text.length; index++) {
    const code = DIGITS.indexOf(text[2 * index]) * 64 + DIGITS.indexOf(text[2 * index + 1]);
    const epoch = 2 * index + 2 === text.length ? last : 1 + index * step;
    if (code <= levels) points.push([epoch, code / levels]);
  }
  return { dataset, model, loss, repeat, diverged, last, points };
}

function element(name, attributes, text) {
  const made = document.createElementNS(document.getElementById("curve-plot").namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function ticks(low, high, wanted, whole) {
  let step = 10 ** Math.floor(Math.log10((high - low) / wanted || 1));
  while ((high - low) / step > wanted) step *= (high - low) / step > 2 * wanted ? 5 : 2;
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + 1e-9; at += step) found.push(at);
  return found;
}

/* Mean over trials by epoch; a stopped trial keeps its best value, a diverged one counts as 0. */
function meanCurve(trials, last) {
  const sums = [];
  for (const trial of trials) {
    const values = new Map(trial.points);
    const best = trial.diverged ? 0 : Math.max(0, ...trial.points.map(([, value]) => value));
    for (let epoch = 1; epoch <= last; epoch += data.curves.step) {
      const at = (epoch - 1) / data.curves.step;
      const value = epoch > trial.last ? best : values.get(epoch) ?? best;
      sums[at] = (sums[at] || 0) + value / trials.length;
    }
  }
  return sums.map((value, at) => [1 + at * data.curves.step, value]);
}

function setUpCurves(section) {
  const choose = { dataset: section.querySelector("#curve-dataset"), model: section.querySelector("#curve-model") };
  const boxes = all("input[name=curve-loss]", section);
  const plot = section.querySelector("#curve-plot");
  const readout = section.querySelector("#curve-readout");
  const rows = section.querySelector("#curve-rows");
  const from = section.querySelector("#curve-from");
  const title = (axis, index) => index === null ? "" : data.titles[axis][index];
  let shown = [];
  let place = null;

  const name = (trial) => [title("loss", trial.loss), title("dataset", trial.dataset), title("model", trial.model),
    `repeat ${trial.repeat}`].filter(Boolean).join(" \u00b7 ");

  function pick() {
    const losses = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));
    const wanted = (axis, value) => !choose[axis] || choose[axis].value === "" || Number(choose[axis].value) === value;
    return data.curves.trials
      .filter(([dataset, model, loss]) => losses.has(loss) && wanted("dataset", dataset) && wanted("model", model))
      .map(unpack)
      .filter((trial) => trial.points.length);
  }

  function path(points, className, label) {
    const line = points.map(([epoch, value]) => place(epoch, value).map((at) => at.toFixed(1)).join(" ")).join("L");
    const made = element("path", { class: className, d: line && `M${line}` });
    if (label) made.append(element("title", {}, label));
    return made;
  }

  function axes(low, high, first, last) {
    for (const value of ticks(low, high, 6)) {
      const [, y] = place(first, value);
      plot.append(element("path", { class: "gridline", d: `M${BOX.left} ${y}H${BOX.width - BOX.right}` }),
        element("text", { x: BOX.left - 7, y: y + 4, "text-anchor": "end" }, value.toFixed(high - low < 0.1 ? 3 : 2)));
    }
    for (const epoch of ticks(first, last, BOX.width / 80, true))
      plot.append(element("text", { x: place(epoch, low)[0], y: BOX.height - 17, "text-anchor": "middle" }, epoch));
    plot.append(element("text", { x: BOX.width - BOX.right, y: BOX.height - 4, "text-anchor": "end" }, "epoch"));
  }

  /* As many units as pixels, within limits, so that text keeps its size in a narrow window. */
  function fit() {
    BOX.width = Math.round(Math.max(340, Math.min(900, plot.clientWidth || 900)));
    BOX.height = Math.round(Math.max(250, BOX.width * 0.42));
    plot.setAttribute("viewBox", `0 0 ${BOX.width} ${BOX.height}`);
  }

  function draw() {
    fit();
    shown = pick();
    plot.replaceChildren();
    const last = Math.max(2, ...shown.map((trial) => trial.last));
    const first = Math.min(last - 1, 1 + Math.floor(last * Number(from.value)));
    const visible = (points) => points.filter(([epoch]) => epoch >= first);
    const values = shown.flatMap((trial) => visible(trial.points).map(([, value]) => value));
    if (!values.length) {
      plot.append(element("text", { x: BOX.width / 2, y: BOX.height / 2, "text-anchor": "middle" }, "No selected trial has a curve"));
      readout.textContent = "0 trials";
      rows.replaceChildren();
      return;
    }
    let [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [1, 0]);
    const pad = Math.max((high - low) * 0.05, 0.005);
    [low, high] = [Math.max(0, low - pad), Math.min(1, high + pad)];
    place = (epoch, value) => [
      BOX.left + (BOX.width - BOX.left - BOX.right) * (epoch - first) / (last - first),
      BOX.height - BOX.bottom - (BOX.height - BOX.top - BOX.bottom) * (value - low) / (high - low)];
    plot.dataset.first = first;
    axes(low, high, first, last);
    for (const trial of shown) {
      plot.append(path(visible(trial.points), `line thin s${trial.loss} c${trial.loss}`, name(trial)));
      const end = trial.points[trial.points.length - 1];
      if (trial.diverged && end[0] >= first) {
        const [x, y] = place(...end);
        plot.append(element("path", { class: `line s${trial.loss}`, d: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x - 4} ${y + 4}L${x + 4} ${y - 4}` }));
      }
    }
    for (const loss of new Set(shown.map((trial) => trial.loss))) {
      const own = shown.filter((trial) => trial.loss === loss);
      if (own.length > 1) plot.append(path(visible(meanCurve(own, last)).map(([x, y]) => [x, Math.max(low, y)]), `line s${loss} c${loss}`));
    }
    plot.append(element("circle", { id: "curve-mark", r: 4, hidden: "" }));
    const of = Object.values(choose).filter(Boolean).map((select) => select.selectedOptions[0].textContent);
    readout.textContent = `${shown.length} ${shown.length === 1 ? "trial" : "trials"} of ${of.join(", ")}; thick lines are means`;
    list();
  }

  function list() {
    rows.replaceChildren(...shown.slice(0, 500).map((trial) => {
      const row = document.createElement("tr");
      const best = trial.points.reduce((a, b) => (b[1] > a[1] ? b : a), [0, -1]);
      const cells = [title("loss", trial.loss), title("dataset", trial.dataset), title("model", trial.model), trial.repeat, trial.last,
        trial.diverged ? "diverged" : `${decimal(best[1], words.curve_digits)} (epoch ${best[0]})`];
      for (const text of cells) row.append(Object.assign(document.createElement("td"), { textContent: text }));
      return row;
    }));
  }

  function point(event) {
    if (!place || !shown.length) return;
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) * BOX.width / box.width;
    const y = (event.clientY - box.top) * BOX.height / box.height;
    let best = null;
    for (const trial of shown) for (const at of trial.points) {
      if (at[0] < Number(plot.dataset.first)) continue;
      const [px, py] = place(...at);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (!best || distance < best.distance) best = { trial, at, px, py, distance };
    }
    const mark = plot.querySelector("#curve-mark");
    if (!best || !mark) return;
    mark.removeAttribute("hidden");
    mark.setAttribute("cx", best.px);
    mark.setAttribute("cy", best.py);
    readout.textContent = `${name(best.trial)}: epoch ${best.at[0]}, ${decimal(best.at[1], words.curve_digits)}`;
  }

  for (const control of [choose.dataset, choose.model, from, ...boxes]) if (control) control.addEventListener("change", draw);
  section.querySelector("#curve-all").addEventListener("click", () => { boxes.forEach((box) => { box.checked = true; }); draw(); });
  section.querySelector("#curve-none").addEventListener("click", () => { boxes.forEach((box) => { box.checked = false; }); draw(); });
  plot.addEventListener("pointermove", point);
  addEventListener("resize", draw);
  draw();
}

for (const section of all("#trials")) if (data.curves.trials) setUpCurves(section);
