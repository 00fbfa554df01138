/* A field that hides the rows of a table without the given text. */
for (const input of all("input[data-filters]")) {
  const table = document.getElementById(input.dataset.filters);
  const rows = [...table.tBodies[0].rows];
  const status = document.getElementById(`${input.dataset.filters}-status`);
  const filter = () => {
    const terms = input.value.toLowerCase().split(",").map((term) => term.trim()).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = terms.length > 0 && !terms.some((term) => text.includes(term));
    }
    status.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  };
  input.addEventListener("input", filter);
  filter();
}
