// The page: what keys, buttons and files do to the labels.

const { names, guesses } = data;
const rank = new Map(data.order.slice(0, data.proposed).map((index, place) => [index, place + 1]));
const place = new Map(data.order.map((index, position) => [index, position]));
const test = new Set(data.test);
const find = finder(names);
const colour = (label) => hue(labels.classes.indexOf(label));

const labels = new Labels(names.length, data.labels, data.classes);
const keeper = data.save ? null : new Keeper(data.fingerprint, data.base, labels);
const sender = data.save ? new Sender(data.save, saved) : null;
const restored = Object.keys(labels.edits()).length;
let downloaded = true;

// Cards

function guessOf(index) {
  if (!guesses || labels.of[index] !== null) return null;
  return { label: guesses.classes[guesses.best[index]], sure: guesses.sure[index] };
}

function draw(card, index) {
  const label = labels.of[index], guess = guessOf(index), selected = grid.selected.has(index);
  const state = JSON.stringify([index, label, guess && guess.label, selected]);
  if (card.dataset.state === state) return;
  card.dataset.state = state;
  if (card.dataset.index !== String(index)) {
    card.dataset.index = index;
    if (!card.firstChild) card.innerHTML = '<span class="tile"><img alt="" decoding="async"></span><span class="rank"></span><span class="sure"></span><span class="tick">✓</span><span class="name"></span><span class="label"></span>';
    card.querySelector("img").src = picture(index);
    const name = card.querySelector(".name");
    name.textContent = names[index].split("/").at(-1);
    card.title = names[index];
    const mark = rank.has(index) ? `#${rank.get(index)}` : test.has(index) ? "test" : "";
    card.querySelector(".rank").textContent = mark;
  }
  const told = card.querySelector(".label");
  told.className = label !== null ? "label given" : guess ? "label guess" : "label";
  told.replaceChildren();
  card.querySelector(".sure").textContent = guess ? `${guess.sure}%` : "";
  if (label !== null) {
    const dot = document.createElement("i");
    dot.style.background = colour(label);
    told.append(dot, label);
  } else if (guess) {
    const [word, ok] = [document.createElement("span"), document.createElement("b")];
    word.textContent = `${guess.label}?`;
    ok.textContent = "✓";
    ok.className = "ok";
    ok.title = "Confirm this guess";
    told.append(word, ok);
  }
  const say = [names[index], label !== null ? `labelled ${label}` : guess ? `guessed ${guess.label}, ${guess.sure}%` : "no label"];
  if (rank.has(index)) say.push(`proposed ${rank.get(index)}`);
  if (test.has(index)) say.push("of the test split");
  card.setAttribute("aria-label", say.join(", "));
}

const grid = new Grid($("grid"), draw, tellTarget);

function tellTarget() {
  const count = grid.selected.size;
  const framed = grid.items[grid.active];
  $("target").textContent = count ? `${plural(count, "shape")} selected` : framed === undefined ? "No shape shown" : `For ${names[framed]}`;
  $("none").disabled = !count;
  if (guesses) $("confirm").disabled = !targets().some(guessOf);
}

// Filters and order

let sorted = null;
function byName() {
  const { compare } = new Intl.Collator(undefined, { numeric: true });
  sorted ??= [...data.order].sort((a, b) => compare(names[a], names[b]) || a - b);
  return sorted;
}

function shown() {
  const which = document.querySelector("input[name=which]:checked").value;
  const [kind, name] = $("of").value ? JSON.parse($("of").value) : [];
  const words = $("search").value.trim().toLowerCase();
  const keep = {
    all: () => true, proposed: (index) => rank.has(index),
    unlabelled: (index) => labels.of[index] === null, labelled: (index) => labels.of[index] !== null,
  }[which];
  const by = $("sort").value;
  const items = (by === "name" ? byName() : data.order).filter((index) => keep(index)
    && (kind !== "label" || labels.of[index] === name) && (kind !== "guess" || guessOf(index)?.label === name)
    && (!words || names[index].toLowerCase().includes(words)));
  if (by === "sure") items.sort((a, b) => (guessOf(b)?.sure ?? -1) - (guessOf(a)?.sure ?? -1) || place.get(a) - place.get(b));
  if (by === "unsure") items.sort((a, b) => (guessOf(a)?.sure ?? 101) - (guessOf(b)?.sure ?? 101) || place.get(a) - place.get(b));
  return items;
}

function refilter() {
  $("grid").scrollTop = 0;
  grid.show(shown(), 0);
  refresh();
}

// Shows what has changed; `next`: the shape to frame.
function update(next) {
  const items = shown();
  const at = next === undefined ? -1 : items.indexOf(next);
  grid.show(items, at >= 0 ? at : grid.active);
  if (at >= 0) grid.go(at);
  refresh();
}

function refresh() {
  const done = [...rank.keys()].filter((index) => labels.of[index] !== null).length;
  const of = data.proposed ? ` · ${done} of ${data.proposed} proposed` : "";
  $("progress").textContent = `${labels.count.toLocaleString("en")} of ${plural(names.length, "shape")} labelled${of}`;
  $("bar").max = data.proposed || names.length;
  $("bar").value = data.proposed ? done : labels.count;
  $("undo").disabled = !labels.done.length;
  $("redo").disabled = !labels.undone.length;
  $("over").disabled = !Object.keys(labels.edits()).length && !keeper?.earlier;
  $("empty").hidden = grid.items.length > 0;
  $("count").textContent = grid.items.length === names.length ? "" : `${plural(grid.items.length, "shape")} shown`;
  listClasses();
  tellKept();
  grid.frame();
}

function listClasses() {
  const list = $("classes"), wanted = labels.classes.map((label) => [label, labels.counts.get(label) ?? 0]);
  const state = JSON.stringify(wanted);
  if (list.dataset.state === state) return;
  list.dataset.state = state;
  const known = wanted.map(([label, count], number) => {
    const [row, button, dot, name, sum] = ["li", "button", "i", "span", "small"].map((tag) => document.createElement(tag));
    button.type = "button";
    button.dataset.label = label;
    button.title = `Label the chosen shapes ${label}`;
    if (number < 9) {
      const key = document.createElement("kbd");
      key.textContent = number + 1;
      button.append(key);
    }
    dot.style.background = colour(label);
    name.textContent = label;
    sum.textContent = count;
    sum.title = `${count} labelled`;
    button.append(dot, name, sum);
    row.append(button);
    return row;
  });
  list.replaceChildren(...known);
  $("hint").hidden = wanted.length > 0;
  $("known").replaceChildren(...wanted.map(([label]) => new Option(label, label)));
  listFilters(wanted);
}

function listFilters(wanted) {
  const select = $("of"), chosen = select.value;
  const group = (title, kind, found) => {
    const made = document.createElement("optgroup");
    made.label = title;
    made.append(...found.map(([label, count]) => new Option(`${label} (${count})`, JSON.stringify([kind, label]))));
    return made;
  };
  const guessed = new Map();
  if (guesses) names.forEach((_, index) => {
    const guess = guessOf(index);
    if (guess) guessed.set(guess.label, (guessed.get(guess.label) ?? 0) + 1);
  });
  const groups = [group("Labelled", "label", wanted.filter((one) => one[1]))];
  if (guesses) groups.push(group("Guessed", "guess", guesses.classes.map((label) => [label, guessed.get(label) ?? 0])));
  select.replaceChildren(new Option("Any class", ""), ...groups);
  select.value = chosen;
  if (select.value !== chosen) { select.value = ""; queueMicrotask(refilter); }
}

// Labelling

function targets() {
  if (grid.selected.size) return grid.items.filter((index) => grid.selected.has(index));
  return grid.items.length ? [grid.items[grid.active]] : [];
}

function say(text) { $("said").textContent = text; }

// Labels shapes by pairs [index, class], then frames the next one without a label.
function label(pairs, done) {
  if (!pairs.length) return say("No shape is selected.");
  const chosen = new Set(pairs.map(([index]) => index));
  const fresh = pairs.some(([index]) => labels.of[index] === null);
  const last = grid.items.findLastIndex((index) => chosen.has(index));
  const count = labels.change(pairs);
  const open = (index) => labels.of[index] === null;
  const next = fresh ? grid.items.slice(last + 1).find(open) : undefined;
  grid.selected.clear();
  update(next ?? grid.items[last]);
  say(count ? done(count) : "Nothing to change.");
}

function give(name) {
  const text = name.trim();
  if (!text) return say("Type a class first.");
  label(targets().map((index) => [index, text]), (count) => `${plural(count, "shape")} labelled ${text}.`);
}

function unlabel() { label(targets().map((index) => [index, null]), (count) => `${plural(count, "label")} removed.`); }

function confirm(indices) {
  const pairs = indices.map((index) => [index, guessOf(index)?.label]).filter((pair) => pair[1] !== undefined);
  if (!pairs.length) return say("No guess to confirm here.");
  label(pairs, (count) => `${plural(count, "guess").replace("guesss", "guesses")} confirmed.`);
}

function step(back) {
  const changes = back ? labels.undo() : labels.redo();
  if (!changes.length) return say(back ? "Nothing to undo." : "Nothing to do again.");
  update(changes[0].index);
  say(`${back ? "Undone" : "Done again"}: ${plural(changes.length, "shape")}.`);
}

labels.changed = (changes) => {
  downloaded = false;
  if (sender) sender.add(changes);
  else keeper.write();
};

// Files

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([writeLabels(labels.rows(names))], { type: "text/csv;charset=utf-8" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  downloaded = true;
  say(`labels.csv: ${plural(labels.count, "label")}.`);
}

async function open(file) {
  if (!file) return;
  let rows;
  try { rows = parseLabels(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer())); } catch (error) {
    return say(`${file.name}: ${error instanceof TypeError ? "is not a text in UTF-8" : error.message}`);
  }
  const found = new Map(), faults = [];
  for (const row of rows) {
    const index = find(row.path);
    if (index === undefined) faults.push(`line ${row.line}: ${row.path} is no shape of this page`);
    else if (found.has(index) && found.get(index).label !== row.label) faults.push(`line ${row.line}: ${names[index]} has another class above`);
    else if (row.label.length > 200) faults.push(`line ${row.line}: has a class of more than 200 letters`);
    else found.set(index, row);
  }
  for (const [index, row] of found) if (row.split) labels.splits.set(index, row.split);
  const count = labels.change([...found].map(([index, row]) => [index, row.label]));
  update();
  const left = faults.length ? ` ${plural(faults.length, "line")} left out; ${faults[0]}.` : "";
  say(`${file.name}: ${plural(found.size, "label")}, ${count} of them new.${left}`);
}

function saved(fault) {
  $("kept").classList.toggle("bad", fault !== null);
  $("kept").textContent = fault === null ? `Saved in ${data.file}.` : `Not saved: ${fault}`;
}

function tellKept() {
  if (sender) { if (!sender.pending.size && !$("kept").textContent) saved(null); return; }
  $("kept").classList.toggle("bad", !keeper.works);
  $("kept").textContent = keeper.works ? "Kept in this browser. Download when done." : "This browser keeps nothing: download before you close the page.";
}

function startOver() {
  if (keeper) keeper.earlier = null;
  $("earlier").hidden = true;
  const count = labels.change(labels.of.map((_, index) => [index, labels.begin.get(index) ?? null]));
  keeper?.write();
  update();
  say(`${plural(count, "label")} taken back; undo brings them again.`);
}

// Work of this browser upon other labels than this page's

function tellEarlier() {
  $("earlier").hidden = !keeper?.earlier;
  if (keeper?.earlier) $("differs").textContent = `In this browser ${plural(keeper.earlier.length, "shape")} had been given other labels than this page has.`;
}

function settleEarlier(take) {
  const edits = keeper.earlier;
  keeper.earlier = null;
  if (take) labels.change(edits);
  keeper.write();
  tellEarlier();
  update();
}

// Keys and buttons

function key(event) {
  const inText = event.target.matches?.("input:not([type=radio]), select, textarea");
  const inDialog = event.target.closest?.("dialog");
  const command = event.ctrlKey || event.metaKey;
  const letter = event.key.toLowerCase();
  const emptyText = inText && event.target.tagName === "INPUT" && !event.target.value;
  if (inDialog || event.altKey) return false;
  if (command && letter === "z" && (!inText || emptyText)) step(!event.shiftKey);
  else if (command && letter === "y" && (!inText || emptyText)) step(false);
  else if (inText) {
    if (event.key !== "Escape") return false;
    $("grid").focus();
  } else if (event.key === "/") { $("class").focus(); $("class").select(); }
  else if (event.key === "?") $("keys").showModal();
  else if (!command && /^[1-9]$/.test(event.key)) {
    const name = labels.classes[event.key - 1];
    if (name === undefined) say(`There is no class ${event.key} yet.`);
    else give(name);
  } else if (event.target.matches("button, input, a, summary, label")) return false;
  else if (event.key === "Enter" && $("class").value.trim()) give($("class").value);
  else if (event.key === "Enter" || (letter === "c" && !command)) confirm(targets());
  else if (event.key === "Delete" || event.key === "Backspace") unlabel();
  else return grid.key(event);
  return true;
}

document.addEventListener("keydown", (event) => { if (key(event)) event.preventDefault(); });
$("grid").addEventListener("click", (event) => {
  const card = event.target.closest(".ok")?.closest("[role=option]");
  if (!card) return;
  event.stopImmediatePropagation();
  confirm([Number(card.dataset.index)]);
}, true);
$("apply").addEventListener("submit", (event) => { event.preventDefault(); give($("class").value); $("grid").focus(); });
$("classes").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { give(button.dataset.label); $("grid").focus({ preventScroll: true }); }
});
for (const input of document.querySelectorAll("input[name=which]")) input.addEventListener("change", refilter);
for (const id of ["of", "sort"]) $(id).addEventListener("change", refilter);
$("search").addEventListener("input", refilter);
const clicks = {
  undo: () => step(true), redo: () => step(false), remove: unlabel, confirm: () => confirm(targets()),
  every: () => grid.select(grid.items), none: () => grid.select([]), download, choose: () => $("file").click(),
  help: () => $("keys").showModal(), take: () => settleEarlier(true), drop: () => settleEarlier(false),
  over: () => {
    const back = plural(labels.begin.size, "label");
    $("ask").textContent = `All that was labelled here (${plural(Object.keys(labels.edits()).length, "shape")}) goes back to the ${back} that the page began with.`;
    $("sure").showModal();
  },
};
for (const [id, act] of Object.entries(clicks)) $(id)?.addEventListener("click", act);
$("sure").addEventListener("close", () => { if ($("sure").returnValue === "yes") startOver(); $("sure").returnValue = ""; });
$("file").addEventListener("change", () => { open($("file").files[0]); $("file").value = ""; });
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("drop"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("drop"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("drop");
  open(event.dataTransfer.files[0]);
});
addEventListener("beforeunload", (event) => {
  const lost = sender ? sender.pending.size > 0 : !keeper.works && !downloaded;
  if (lost) event.preventDefault();
});
// Another tab with this page has labelled: take over what it has.
addEventListener("storage", (event) => {
  const saved = keeper && event.key === keeper.key && keeper.read();
  if (!saved || saved.base !== data.base) return;
  const now = names.map((_, index) => saved.edits[index] ?? (index in saved.edits ? null : labels.begin.get(index) ?? null));
  labels._set(now.map((after, index) => ({ index, after })).filter(({ index, after }) => labels.of[index] !== after));
  update();
});

refilter();
tellEarlier();
if (restored) say(`${plural(restored, "label")} from before, kept in this browser.`);
$("grid").focus({ preventScroll: true });
