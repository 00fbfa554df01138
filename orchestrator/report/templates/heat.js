/* Heat tables: choice of the metric, and filters of rows and columns. */
const data = JSON.parse(document.getElementById("data").textContent);
const words = data.wording;
const decimal = (value, digits) => value === null ? words.missing : value.toFixed(digits);

function paintCell(cell, value, place, shade) {
  const text = cell.querySelector(".value");
  const medal = cell.querySelector(".medal");
  text.textContent = decimal(value, words.metric_digits);
  cell.classList.toggle("missing", value === null);
  cell.dataset.value = value === null ? "" : String(value);
  cell.style.setProperty("--shade", shade.toFixed(3));
  cell.title = cell.title.replace(/^[^,]*/, decimal(value, words.tooltip_digits))
    .replace(/, place.*$/, "") + (place ? `, place ${place}` : "");
  medal.className = place ? `medal m${place[0]}` : "medal";
  medal.textContent = place;
  medal.hidden = !place;
}

function paintTable(table, metric) {
  const { means, places, points, point_texts, lower_is_better } = data.heat[table.dataset.axis][metric];
  for (const row of table.tBodies[0].rows) {
    const line = means[row.dataset.r];
    const known = line.filter((value) => value !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    line.forEach((value, column) => paintCell(cellsOf(row, column), value, places[row.dataset.r][column],
      value === null || high === low ? 0.5 : (lower_is_better ? high - value : value - low) / (high - low)));
  }
  points.forEach((number, column) => {
    const cell = cellsOf(table.tFoot.rows[0], column);
    cell.textContent = point_texts[column];
    cell.dataset.value = number;
  });
}

function matcher(input) {
  const terms = input.value.toLowerCase().split(",").map((term) => term.trim()).filter(Boolean);
  return (text) => !terms.length || terms.some((term) => text.toLowerCase().includes(term));
}

function setUpHeat(section) {
  const tables = all("table.heat", section);
  const metric = section.querySelector("#metric");
  const inputs = { dataset: 0, model: 0, loss: 0 };
  for (const axis of Object.keys(inputs)) inputs[axis] = section.querySelector(`#filter-${axis}`);
  const status = section.querySelector("#heat-status");

  function filter() {
    const tests = {};
    for (const [axis, input] of Object.entries(inputs)) tests[axis] = input ? matcher(input) : () => true;
    const counts = [];
    for (const table of tables) {
      const rows = [...table.tBodies[0].rows];
      for (const row of rows)
        row.hidden = !["dataset", "model"].every((axis) => !(axis in row.dataset) || tests[axis](row.dataset[axis]));
      const columns = all("thead th.column", table);
      for (const column of columns) {
        const hidden = !tests.loss(column.dataset.loss);
        for (const line of table.rows) cellsOf(line, column.dataset.c).hidden = hidden;
      }
      const shown = (items) => items.filter((item) => !item.hidden).length;
      counts.push(`${shown(rows)} of ${rows.length} rows`);
      table.losses = `${shown(columns)} of ${columns.length} losses`;
    }
    status.textContent = `Shown: ${counts.join(", ")}; ${tables[0].losses}.`;
  }

  metric.addEventListener("change", () => {
    for (const table of tables) paintTable(table, metric.value);
    for (const name of all(".metric-name", section)) name.textContent = metric.selectedOptions[0].textContent;
  });
  for (const input of Object.values(inputs)) if (input) input.addEventListener("input", filter);
  section.querySelector("#heat-reset").addEventListener("click", () => {
    for (const input of Object.values(inputs)) if (input) input.value = "";
    metric.selectedIndex = 0;
    metric.dispatchEvent(new Event("change"));
    filter();
  });
  filter();
}

for (const section of all("#heat")) setUpHeat(section);
