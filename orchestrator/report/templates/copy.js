/* Copies a text, or selects it if the browser does not allow copying. */
for (const button of all("button.copy")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copies);
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected; press Ctrl+C";
    }
    setTimeout(() => { button.textContent = before; }, 3000);
  });
}
