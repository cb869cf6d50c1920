// The page: what keys, buttons and files do to the labels.

const { names, guesses } = data;
const rank = new Map(data.order.slice(0, data.proposed).map((index, place) => [index, place + 1]));
const place = new Map(data.order.map((index, position) => [index, position]));
const test = new Set(data.test);
const finder = new ShapeNames(names, data.files);
const colour = (label) => hue(labels.classes.indexOf(label));

const labels = new Labels(names.length, data.labels, data.classes);
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
  $("empty").hidden = grid.items.length > 0;
  $("count").textContent = grid.items.length === names.length ? "" : `${plural(grid.items.length, "shape")} shown`;
  listClasses();
  refreshDesk();
  grid.frame();
}

function listClasses() {
  const wanted = labels.classes.map((label) => [label, labels.counts.get(label) ?? 0]);
  if (listNames(wanted, colour, (label) => `Label the chosen shapes ${label}`)) listFilters(wanted);
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
  label(pairs, (count) => `${plural(count, "guess")} confirmed.`);
}

// Files and keys

const desk = {
  file: "labels.csv", thing: "shape", label: "label", name: "class", home: "grid",
  text: () => writeLabels(labels.rows(names)),
  read: (text) => {
    const found = new Map(), faults = [];
    const rows = parseLabels(text);
    for (const row of rows) {
      const index = finder.find(row.path);
      if (index === undefined) {
        const header = row === rows[0] && rows.some((other) => finder.find(other.path) !== undefined) && unnamedHeader(rows);
        faults.push(header || `line ${row.line}: ${finder.unknown(row.path)}`);
      }
      else if (found.has(index) && found.get(index) !== row.label) faults.push(`line ${row.line}: ${names[index]} has another class above`);
      else if (row.label.length > 200) faults.push(`line ${row.line}: has a class of more than 200 letters`);
      else {
        found.set(index, row.label);
        if (row.split) labels.splits.set(index, row.split);
      }
    }
    return { found, faults };
  },
  clicks: { confirm: () => confirm(targets()), every: () => grid.select(grid.items), none: () => grid.select([]) },
};
const start = refilter, choose = give, typed = give;

function own(event, command, letter) {
  if (event.key === "Enter" && $("class").value.trim()) give($("class").value);
  else if (event.key === "Enter" || (letter === "c" && !command)) confirm(targets());
  else return grid.key(event);
  return true;
}

$("grid").addEventListener("click", (event) => {
  const card = event.target.closest(".ok")?.closest("[role=option]");
  if (!card) return;
  event.stopImmediatePropagation();
  confirm([Number(card.dataset.index)]);
}, true);
for (const input of document.querySelectorAll("input[name=which]")) input.addEventListener("change", refilter);
for (const id of ["of", "sort"]) $(id).addEventListener("change", refilter);
$("search").addEventListener("input", refilter);
