"use strict";
// The page works without this; it adds filters, the details of a cell, and movement by keys.
(() => {
  const byId = (id) => document.getElementById(id);
  const table = byId("matrix-table");
  if (!table) return;
  let parsed = null; // megabytes for a large release, and nothing that the first sight needs
  const data = () => (parsed ??= JSON.parse(byId("data").textContent));
  const text = (number) => data().texts[number];
  const file = (row) => row.querySelector(".wheel").title;
  const rows = Array.from(table.querySelectorAll("tr[data-w]"), (row) => ({
    row,
    name: [row.cells[0].textContent, file(row), file(row).replaceAll("-", " ")].join(" ").toLowerCase(),
    cells: Array.from(row.cells).slice(1).map((cell) => {
      const mark = cell.className === "none" ? null : cell.firstChild;
      return {
        cell,
        mark,
        verdict: mark ? mark.className.slice(-1) : "",
        findings: mark && mark.dataset.f ? mark.dataset.f.split(" ") : [],
      };
    }),
  }));
  const headings = new Map();
  const releases = Array.from(table.querySelectorAll("tr.release"), (row) => {
    const own = [];
    let next = row.nextElementSibling;
    while (next && next.dataset.w !== undefined) {
      own.push(next);
      headings.set(next, row);
      next = next.nextElementSibling;
    }
    return { row, own };
  });
  const [familyRow, headRow] = table.tHead.rows;
  const heads = Array.from(headRow.cells).slice(1);

  // ---- rows beyond the first screens are laid out in turns, when nothing else is to do (page.css: .later) ----
  const AT_ONCE = 200;
  const IN_TURN = 100;
  const later = new Set(rows.map((entry) => entry.row).filter((row) => row.classList.contains("later")));
  const soon = window.requestIdleCallback || ((work) => window.setTimeout(work, 200));

  function unfold(row) {
    for (const one of [row, headings.get(row)]) if (one) one.classList.remove("later");
    later.delete(row);
  }

  function fold(row) {
    row.classList.add("later");
    later.add(row);
  }

  let turn = false;
  function unfoldInTurns() {
    if (turn) return;
    const next = [];
    for (const row of later) {
      if (next.length === IN_TURN) break;
      if (!row.hidden) next.push(row);
    }
    if (next.length === 0) return;
    turn = true;
    window.requestAnimationFrame(() => soon(() => {
      turn = false;
      next.forEach(unfold);
      unfoldInTurns();
    }));
  }
  unfoldInTurns();

  // ---- filters -------------------------------------------------------------------------------
  const wheelFilter = byId("filter-wheel");
  const findingFilter = byId("filter-finding");
  const verdictBoxes = Array.from(document.querySelectorAll('input[name="verdict"]'));
  const distroBoxes = Array.from(document.querySelectorAll('input[name="distro"]'));
  let columnsShown = heads.map(() => true);

  function filter() {
    const word = wheelFilter.value.trim().toLowerCase();
    const finding = findingFilter.value;
    const verdicts = new Set(verdictBoxes.filter((box) => box.checked).map((box) => box.value));
    const choosy = finding !== "" || verdicts.size < verdictBoxes.length;
    const chosen = distroBoxes.map((box) => box.checked);
    const changed = chosen.map((shown, place) => shown !== columnsShown[place]);
    let shownRows = 0;
    let fresh = 0;
    for (const entry of rows) {
      let hits = 0;
      entry.cells.forEach((part, place) => {
        if (changed[place]) part.cell.hidden = !chosen[place];
        const hit = part.mark !== null && chosen[place] && verdicts.has(part.verdict)
          && (finding === "" || part.findings.includes(finding));
        if (hit) hits += 1;
        if (part.mark !== null) part.cell.classList.toggle("faint", choosy && !hit);
      });
      const shown = entry.name.includes(word) && (hits > 0 || (!choosy && chosen.every(Boolean)));
      if (shown && (entry.row.hidden || later.has(entry.row))) {
        fresh += 1;
        (fresh > AT_ONCE ? fold : unfold)(entry.row);
      }
      entry.row.hidden = !shown;
      if (shown) shownRows += 1;
    }
    for (const { row, own } of releases) {
      row.hidden = own.every((one) => one.hidden);
      row.classList.toggle("later", own.every((one) => one.hidden || later.has(one)));
    }
    unfoldInTurns();
    heads.forEach((head, place) => { if (changed[place]) head.hidden = !chosen[place]; });
    columnsShown = chosen;
    showFamilies();
    const count = chosen.filter(Boolean).length;
    byId("distro-count").textContent = count === chosen.length ? "all" : `${count} of ${chosen.length}`;
    byId("shown").textContent = `${shownRows} of ${rows.length} wheels`;
    settle();
  }

  function showFamilies() {
    let place = 0;
    for (const cell of Array.from(familyRow.cells).slice(1)) {
      const size = Number(cell.dataset.size || cell.colSpan);
      cell.dataset.size = String(size);
      const shown = columnsShown.slice(place, place + size).filter(Boolean).length;
      cell.hidden = shown === 0;
      if (shown) cell.colSpan = shown;
      place += size;
    }
  }

  function check(boxes, state) {
    for (const box of boxes) box.checked = state;
    filter();
  }

  let waiting = 0;
  wheelFilter.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(filter, 60);
  });
  for (const control of [findingFilter, ...verdictBoxes, ...distroBoxes]) {
    control.addEventListener("change", filter);
  }
  byId("all-distros").addEventListener("click", () => check(distroBoxes, true));
  byId("no-distros").addEventListener("click", () => check(distroBoxes, false));
  byId("reset").addEventListener("click", () => {
    wheelFilter.value = "";
    findingFilter.value = "";
    check([...verdictBoxes, ...distroBoxes], true);
  });

  // ---- one mark at a time is in the order of tabs; arrow keys move it ---------------------------
  let current = null;

  function visible(mark) {
    return mark !== null && !mark.closest("tr").hidden && !mark.closest("td").hidden;
  }

  function makeCurrent(mark) {
    if (current) current.tabIndex = -1;
    current = mark;
    if (current) current.tabIndex = 0;
  }

  function settle() {
    if (current && visible(current)) return;
    for (const entry of rows) {
      if (entry.row.hidden) continue;
      const part = entry.cells.find((candidate) => visible(candidate.mark));
      if (part) return makeCurrent(part.mark);
    }
    makeCurrent(null);
  }

  function neighbour(mark, down, across) {
    let y = rows.findIndex((entry) => entry.row === mark.closest("tr"));
    let x = rows[y].cells.findIndex((part) => part.mark === mark);
    for (;;) {
      y += down;
      x += across;
      if (y < 0 || x < 0 || y >= rows.length || x >= heads.length) return null;
      if (visible(rows[y].cells[x].mark)) return rows[y].cells[x].mark;
    }
  }

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  table.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || !event.target.classList.contains("m") || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = neighbour(event.target, ...step);
    if (next) {
      unfold(next.closest("tr"));
      makeCurrent(next);
      next.focus();
    }
  });

  // ---- details ---------------------------------------------------------------------------------
  const dialog = byId("dialog");
  const body = byId("dialog-body");

  function make(tag, className, content) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (content !== undefined) element.textContent = content;
    return element;
  }

  function list(className, items) {
    const element = make("ul", className);
    for (const item of items) element.append(make("li", "", text(item)));
    return element;
  }

  function facts(pairs) {
    const element = make("dl", "facts");
    for (const [name, value] of pairs) {
      const line = make("div");
      line.append(make("dt", "", text(name)), make("dd", "", text(value)));
      element.append(line);
    }
    return element;
  }

  function findingPart([name, severity, message, evidence, remedy]) {
    const part = make("section", "said");
    part.append(make("h3", "", text(name) + (severity === "error" ? "" : ` (${severity})`)));
    part.append(make("p", "", text(message)));
    if (evidence.length) part.append(list("evidence", evidence));
    if (text(remedy)) {
      const line = make("p", "remedy");
      line.append(make("strong", "", "Remedy:"), ` ${text(remedy)}`);
      part.append(line);
    }
    return part;
  }

  function folded(title, content, open) {
    const part = make("details", "said");
    part.open = open;
    part.append(make("summary", "", title), content);
    return part;
  }

  function block(content) {
    const element = make("pre", "", content);
    element.tabIndex = 0;
    return element;
  }

  const MARKS = { p: "✓", n: "✗", e: "e", u: "?", "-": "·" };

  function nights(letters) {
    const part = make("section", "said");
    part.append(make("h3", "", `The last ${letters.length} nights, the latest at the end`));
    const strip = make("ol", "strip");
    Array.from(letters).forEach((letter, place) => {
      const words = `${data().nights[place]}: ${data().words[letter] || "no trial"}`;
      const item = make("li", `mark-${letter}`);
      item.title = words;
      const mark = make("span", "", MARKS[letter]);
      mark.setAttribute("aria-hidden", "true");
      item.append(mark, make("span", "unseen", words));
      strip.append(item);
    });
    part.append(strip);
    return part;
  }

  function show(title, parts, letter) {
    byId("dialog-title").textContent = title;
    const mark = byId("dialog-mark");
    mark.hidden = !letter;
    mark.className = `mark mark-${letter}`;
    mark.textContent = MARKS[letter] || "";
    body.replaceChildren(...parts);
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  function showCell(number, letter) {
    const cell = data().cells[number];
    const parts = (cell.findings || []).map(findingPart);
    for (const [what, why] of cell.ignored || []) {
      const part = make("section", "said");
      part.append(make("h3", "", "ignored"), make("p", "", text(what)), make("p", "", `Reason: ${text(why)}`));
      parts.push(part);
    }
    for (const [title, content] of cell.blocks || []) {
      parts.push(folded(text(title), block(text(content)), true));
    }
    if (cell.own) parts.push(folded(`libraries loaded from the wheel (${cell.own.length})`, list("libraries", cell.own), false));
    if (cell.sys) parts.push(folded(`libraries loaded from the distro (${cell.sys.length})`, list("libraries", cell.sys), false));
    if (cell.nights) parts.push(nights(cell.nights));
    parts.push(facts(cell.facts));
    show(`${text(cell.o)}: ${text(cell.t)}`, parts, letter);
  }

  // A closed picture of the reach is in the page as the text that it is without scripts.
  function unpack(part) {
    for (const packed of part.querySelectorAll("noscript")) {
      const template = document.createElement("template");
      template.innerHTML = packed.textContent;
      packed.replaceWith(template.content);
    }
  }
  const reach = byId("reach");
  if (reach) reach.addEventListener("toggle", (event) => unpack(event.target), true);

  function showWheel(number) {
    const wheel = data().wheels[number];
    const parts = [facts(wheel.facts)];
    if (wheel.reach !== undefined) {
      unpack(byId(`reach-${wheel.reach}`));
      const picture = make("section", "said");
      picture.append(make("h3", "", "Reach"));
      for (const child of byId(`reach-${wheel.reach}`).children) picture.append(child.cloneNode(true));
      parts.push(picture);
    }
    show(text(wheel.t), parts);
  }

  table.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("m")) {
      makeCurrent(button);
      showCell(Number(button.dataset.i), button.className.slice(-1));
    } else {
      showWheel(Number(button.closest("tr").dataset.w));
    }
  });
  byId("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.addEventListener("click", (event) => {
    const menu = document.querySelector("details.distros");
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });

  // ---- each cell's nights as a thin strip below its mark ---------------------------------------
  const COLOURS = { p: "var(--p)", n: "var(--n)", e: "var(--e)", u: "var(--u)", "-": "transparent" };

  function strip(letters) {
    const share = 100 / letters.length;
    const stops = Array.from(letters, (letter, place) =>
      `${COLOURS[letter]} ${place * share}% ${(place + 1) * share}%`);
    return `linear-gradient(to right, ${stops.join(", ")})`;
  }

  for (const entry of byId("nights") ? rows : []) {
    for (const { mark } of entry.cells) {
      const letters = mark ? data().cells[Number(mark.dataset.i)].nights : undefined;
      if (letters) {
        mark.style.backgroundImage = strip(letters);
        mark.style.backgroundSize = "100% 4px";
        mark.style.backgroundPosition = "bottom";
      }
    }
  }

  // ---- on paper everything is open ---------------------------------------------------------------
  let opened = [];
  window.addEventListener("beforeprint", () => {
    later.forEach(unfold);
    if (reach) unpack(reach);
    opened = Array.from(document.querySelectorAll("main details:not([open]):not(.distros)"));
    for (const part of opened) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of opened) part.open = false;
  });

  byId("filters").hidden = false;
  byId("hint").hidden = false;
  settle();
})();
