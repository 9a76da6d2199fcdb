// Sets the theme that the reader has chosen before anything is painted, so it runs without `defer`.
"use strict";

{
  const root = document.documentElement;
  root.classList.add("scripted");
  try {
    const theme = localStorage.getItem("modelgates-docs-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch { /* the system's theme then */ }
}
