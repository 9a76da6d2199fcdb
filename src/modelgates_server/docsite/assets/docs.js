// Conveniences: every page is complete without this script.
"use strict";

(() => {
  const LANGUAGE = "modelgates-docs-language", THEME = "modelgates-docs-theme";

  async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    // Browsers have no clipboard for pages over plain HTTP.
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("the browser does not copy");
  }

  function say(button, words) {
    const before = button.dataset.words ??= button.textContent;
    button.textContent = words;
    button.classList.add("done");
    clearTimeout(button.timer);
    button.timer = setTimeout(() => {
      button.textContent = before;
      button.classList.remove("done");
    }, 2000);
  }

  // The commands of a terminal session, without prompts and output.
  function commandsOf(pre) {
    const prompts = pre.querySelectorAll(".gp");
    if (!prompts.length) return pre.textContent;
    const copied = pre.cloneNode(true);
    for (const shown of copied.querySelectorAll(".gp, .go")) shown.remove();
    return copied.textContent.split("\n").filter((line) => line.trim()).join("\n") + "\n";
  }

  function addCopyButtons() {
    for (const pre of document.querySelectorAll("pre.highlight:not(.plain)")) {
      if (pre.closest(".code")) continue;
      const frame = document.createElement("div");
      frame.className = "code";
      pre.replaceWith(frame);
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", () =>
        copy(commandsOf(pre)).then(() => say(button, "Copied"), () => say(button, "Failed")));
      frame.append(pre, button);
    }
    for (const link of document.querySelectorAll("[data-copy-page]")) {
      link.addEventListener("click", async (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        try {
          const response = await fetch(link.href);
          if (!response.ok) throw new Error(response.statusText);
          await copy(await response.text());
          say(link, "Copied");
        } catch {
          location.href = link.href;
        }
      });
    }
  }

  function remembered(name) {
    try { return localStorage.getItem(name); } catch { return null; }
  }

  function remember(name, value) {
    try { localStorage.setItem(name, value); } catch { /* for this page then */ }
  }

  // <div class="tabs" aria-label="…"><section class="tab" data-tab="python" aria-label="Python">…
  function makeTabs() {
    const all = [...document.querySelectorAll(".tabs")].map((frame, number) => {
      const panels = [...frame.querySelectorAll(":scope > .tab")];
      const list = document.createElement("div");
      list.className = "tablist";
      list.setAttribute("role", "tablist");
      list.setAttribute("aria-label", frame.getAttribute("aria-label") ?? "Language");
      const buttons = panels.map((panel) => {
        const button = document.createElement("button");
        button.type = "button";
        button.id = `tab-${number}-${panel.dataset.tab}`;
        button.setAttribute("role", "tab");
        button.textContent = panel.getAttribute("aria-label");
        panel.id ||= `panel-${number}-${panel.dataset.tab}`;
        button.setAttribute("aria-controls", panel.id);
        panel.setAttribute("role", "tabpanel");
        panel.removeAttribute("aria-label");
        panel.setAttribute("aria-labelledby", button.id);
        panel.querySelector(":scope > :is(h3, h4)")?.setAttribute("hidden", "");
        return button;
      });
      list.append(...buttons);
      frame.prepend(list);
      const select = (name) => {
        const chosen = Math.max(0, panels.findIndex((panel) => panel.dataset.tab === name));
        panels.forEach((panel, index) => {
          panel.hidden = index !== chosen;
          buttons[index].setAttribute("aria-selected", String(index === chosen));
          buttons[index].tabIndex = index === chosen ? 0 : -1;
        });
      };
      const choose = (index) => {
        const name = panels[index].dataset.tab;
        remember(LANGUAGE, name);
        for (const tabs of all) if (tabs.has(name)) tabs.select(name);
        buttons[index].focus();
      };
      buttons.forEach((button, index) => button.addEventListener("click", () => choose(index)));
      list.addEventListener("keydown", (event) => {
        const at = buttons.indexOf(document.activeElement);
        const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 };
        if (at < 0 || !(event.key in steps)) return;
        event.preventDefault();
        choose((steps[event.key] + buttons.length) % buttons.length);
      });
      select(remembered(LANGUAGE));
      return { select, has: (name) => panels.some((panel) => panel.dataset.tab === name) };
    });
  }

  // See theme.js, which applies the choice on the next page.
  function makeThemeSwitch() {
    const root = document.documentElement, buttons = [...document.querySelectorAll(".theme button")];
    const show = (theme) => {
      if (theme === "light" || theme === "dark") root.dataset.theme = theme;
      else delete root.dataset.theme;
      for (const button of buttons) {
        const chosen = root.dataset.theme ?? "system";
        button.setAttribute("aria-pressed", String(button.dataset.choice === chosen));
      }
    };
    for (const button of buttons) {
      button.addEventListener("click", () => {
        remember(THEME, button.dataset.choice);
        show(button.dataset.choice);
      });
    }
    addEventListener("storage", (event) => { if (event.key === THEME) show(event.newValue); });
    // A page that the browser keeps for "back" may be older than the choice.
    addEventListener("pageshow", (event) => { if (event.persisted) show(remembered(THEME)); });
    show(root.dataset.theme);
  }

  // The text of an excerpt; each match is between U+0002 and U+0003.
  function excerpt(text) {
    const words = document.createElement("small");
    for (const part of text.split("\u0002")) {
      const [marked, rest] = part.includes("\u0003") ? part.split("\u0003") : ["", part];
      if (marked) words.append(Object.assign(document.createElement("mark"), { textContent: marked }));
      words.append(rest);
    }
    return words;
  }

  function makeSearch() {
    const form = document.querySelector("form.search");
    if (!form) return;
    const input = form.elements.q;
    const list = document.createElement("ul");
    const made = (name, textContent, className = "") =>
      Object.assign(document.createElement(name), { textContent, className });
    let shown = [], options = [], at = -1, latest = 0, timer;
    list.className = "found";
    list.id = "found";
    list.hidden = true;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Pages found");
    form.append(list);
    for (const [name, value] of [["role", "combobox"], ["aria-controls", "found"],
      ["aria-expanded", "false"], ["aria-autocomplete", "list"]]) input.setAttribute(name, value);

    const close = () => {
      list.hidden = true;
      at = -1;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    };
    const select = (index) => {
      at = index;
      options.forEach((item, number) =>
        item.setAttribute("aria-selected", String(number === at)));
      if (at < 0) return input.removeAttribute("aria-activedescendant");
      input.setAttribute("aria-activedescendant", `found-${at}`);
      options[at].scrollIntoView({ block: "nearest" });
    };
    const open = (url) => {
      // The page may have been opened under another name of the server than its own.
      const target = new URL(url);
      location.href = target.pathname + target.hash;
      close();
    };
    const option = (result, index) => {
      const item = made("li", "");
      item.id = `found-${index}`;
      item.setAttribute("role", "option");
      const title = made("b", result.title);
      if (result.heading) title.append(made("span", ` › ${result.heading}`));
      item.append(made("span", result.trail, "trail"), title, excerpt(result.text));
      item.addEventListener("mousedown", (event) => event.preventDefault());
      item.addEventListener("click", () => open(result.url));
      item.addEventListener("mousemove", () => select(index));
      return item;
    };
    const show = (results) => {
      shown = results;
      options = results.map(option);
      list.replaceChildren(...options);
      results.forEach((result, index) => {
        if (result.group === results[index - 1]?.group) return;
        const title = made("li", result.group, "group");
        title.setAttribute("role", "presentation");
        options[index].before(title);
      });
      if (!results.length) {
        const none = made("li", "Nothing was found. Try fewer words, or press Enter for good places to start.");
        none.setAttribute("role", "option");
        none.setAttribute("aria-disabled", "true");
        list.append(none);
      }
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      select(results.length ? 0 : -1);
    };
    const ask = async () => {
      const query = input.value.trim(), number = ++latest;
      if (!query) return close();
      const url = new URL(form.dataset.suggest, location.href);
      url.searchParams.set("q", query);
      try {
        const response = await fetch(url);
        const { results } = await response.json();
        if (number === latest && response.ok) show(results);
      } catch { /* Enter still opens the page of results */ }
    };
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, 80);
    });
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      if (list.hidden || event.isComposing) return;
      if (event.key === "Escape") {
        // By itself, the browser would empty the box.
        event.preventDefault();
        close();
      }
      if (event.key === "Enter" && at >= 0) {
        event.preventDefault();
        open(shown[at].url);
      }
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || !shown.length) return;
      event.preventDefault();
      select((at + step + shown.length) % shown.length);
    });
    form.querySelector("kbd").hidden = false;
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select, [contenteditable]")) return;
      event.preventDefault();
      input.focus();
      input.select();
    });
  }

  function followHeadings() {
    const links = new Map([...document.querySelectorAll(".contents a")]
      .map((link) => [document.getElementById(decodeURIComponent(link.hash.slice(1))), link]));
    links.delete(null);
    if (!links.size) return;
    const mark = () => {
      let current = null;
      for (const heading of links.keys()) {
        if (heading.getBoundingClientRect().top < 120) current = heading;
      }
      for (const [heading, link] of links) link.classList.toggle("here", heading === current);
    };
    let waits = false;
    addEventListener("scroll", () => {
      if (waits) return;
      waits = true;
      requestAnimationFrame(() => { waits = false; mark(); });
    }, { passive: true });
    mark();
  }

  function followNavigation() {
    const here = document.querySelector(".side [aria-current]");
    const side = document.getElementById("navigation");
    if (here && side) side.scrollTop = here.offsetTop - side.clientHeight / 2;
    const isOpen = () => location.hash === "#navigation";
    // As its link "Close" does, but without another step in the history.
    const close = () => location.replace("#content");
    const rest = document.querySelectorAll("header.top, main, .contents");
    const follow = () => { for (const part of rest) part.inert = isOpen() && !matchMedia("(min-width: 56.01rem)").matches; };
    addEventListener("keydown", (event) => { if (event.key === "Escape" && isOpen()) close(); });
    addEventListener("click", (event) => {
      const isOutside = !side?.contains(event.target);
      if (!isOpen() || !(isOutside || event.target.closest(".close"))) return;
      event.preventDefault();
      close();
    });
    addEventListener("hashchange", follow);
    addEventListener("resize", follow);
    follow();
  }

  // Browsers that print closed <details> closed. The others do it by the style sheet.
  function unfoldForPrint() {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("main details:not([open])")];
      for (const part of opened) part.open = true;
    });
    addEventListener("afterprint", () => { for (const part of opened) part.open = false; });
  }

  makeTabs();
  addCopyButtons();
  makeSearch();
  followHeadings();
  followNavigation();
  makeThemeSwitch();
  unfoldForPrint();
})();
