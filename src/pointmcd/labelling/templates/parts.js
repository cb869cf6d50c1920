// The page for parts: one shape at a time; pieces of it get the part that is chosen.

const { names, count, shapes } = data;
const finder = new ShapeNames(names, data.files);
const labels = new Labels(data.items, data.labels, data.classes);
const colour = (part) => hue(labels.classes.indexOf(part));
const item = (at, cluster) => shapes[at] * count + cluster;
const place = new Map(shapes.map((index, at) => [index, at]));
const total = names.map(() => null); // pieces of each shape that can be seen, once it was shown
let at = 0, framed = null, chosen = null, picked = new Set(), drawn = null;

// Names of the parts of each class, those of the store first.
const known = new Map(Object.entries(data.parts).map(([kind, parts]) => [kind, [...parts]]));
function learn(kind, part) {
  if (!known.has(kind)) known.set(kind, []);
  if (!known.get(kind).includes(part)) known.get(kind).push(part);
  if (!labels.classes.includes(part)) labels.classes.push(part);
}
function learnAll() {
  for (const [kind, parts] of known) for (const part of [...parts]) learn(kind, part);
  shapes.forEach((_, number) => {
    for (const part of partsOf(number)) if (part !== null) learn(data.of[number], part);
    for (const guess of data.guesses?.[number] ?? []) if (guess) learn(data.of[number], guess[0]);
  });
}
// What the run says of a piece that has no part, {part, sure}, or null.
function guessOf(number, cluster) {
  const guess = labels.of[item(number, cluster)] === null ? data.guesses?.[number][cluster] : null;
  return guess ? { part: guess[0], sure: guess[1] } : null;
}
const partsOf = (number) => labels.of.slice(item(number, 0), item(number, count));
const here = () => known.get(data.of[at]) ?? [];

// Drawing

const pieces = new Pieces($("views"), (cluster) => {
  const part = labels.of[item(at, cluster)], guessed = part ?? guessOf(at, cluster)?.part ?? null;
  const turn = (guessed === null ? cluster : labels.classes.indexOf(guessed)) * 137.5;
  return {
    colour: rgb(Math.round(turn) % 360, guessed === null ? 48 : 62, guessed === null ? 62 : 46),
    strong: part !== null, marked: picked.has(cluster) || cluster === framed,
  };
}, (cluster) => tellTarget(cluster));

function tellTarget(cluster = null) {
  const one = cluster ?? framed;
  const guess = one === null ? null : guessOf(at, one);
  const part = one === null ? null : labels.of[item(at, one)] ?? (guess && `${guess.part}? ${guess.sure}%`);
  const brush = chosen === null ? "No part is chosen" : `Chosen: ${chosen}`;
  const about = picked.size ? `${plural(picked.size, "piece")} picked` : one === null ? "" : `piece ${one + 1}: ${part ?? "no part"}`;
  $("target").textContent = about ? `${brush} · ${about}` : brush;
}

async function go(to) {
  if (!names.length) return;
  at = Math.max(0, Math.min(to, names.length - 1));
  [framed, picked] = [null, new Set()];
  drawn = pieces.show(pictures[at], names[at]);
  await drawn;
  total[at] = pieces.visible.length;
  if (!here().includes(chosen)) chosen = null;
  refresh();
  $("strip").children[at].scrollIntoView({ block: "nearest", inline: "nearest" });
}

const given = (number) => partsOf(number).filter((part) => part !== null).length;
const finished = (number) => given(number) >= (total[number] ?? count);

function refresh() {
  pieces.draw();
  const begun = shapes.filter((_, number) => given(number)).length;
  $("progress").textContent = `${begun} of ${plural(names.length, "shape")} · ${plural(labels.count, "piece")}`;
  $("bar").max = names.length || 1;
  $("bar").value = begun;
  $("name").textContent = data.of[at] && !names[at].startsWith(`${data.of[at]}/`) ? `${names[at]} (${data.of[at]})` : names[at] ?? "";
  $("count").textContent = names.length ? `shape ${at + 1} of ${names.length} · ${given(at)} of ${plural(total[at] ?? count, "piece")}` : "No shape is left to label.";
  $("before").disabled = !at;
  $("after").disabled = at >= names.length - 1;
  $("rest").disabled = chosen === null;
  if (data.guesses) $("confirm").disabled = !names.length || !guessed().length;
  const sums = new Map();
  for (const part of names.length ? partsOf(at) : []) sums.set(part, (sums.get(part) ?? 0) + 1);
  listNames(here().map((part) => [part, sums.get(part) ?? 0]), colour, (part) => `Choose ${part}`, chosen);
  shapes.forEach((_, number) => mark(number));
  tellTarget();
  refreshDesk();
}

function mark(number) {
  const button = $("strip").children[number], state = `${given(number)} ${finished(number)} ${number === at}`;
  if (button.dataset.state === state) return;
  button.dataset.state = state;
  button.classList.toggle("done", finished(number));
  button.classList.toggle("begun", given(number) > 0);
  if (number === at) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  button.setAttribute("aria-label", `${names[number]}, ${given(number)} pieces labelled`);
}

// Labelling

function targets() { return picked.size ? [...picked] : framed === null ? [] : [framed]; }

function paint(clusters, part) {
  const count = labels.change(clusters.map((cluster) => [item(at, cluster), part]));
  const many = plural(count, "piece");
  say(!count ? "Nothing to change." : part === null ? `${many} without a part again.` : `${many}: ${part}.`);
  picked.clear();
  refresh();
}

function choose(part) {
  const text = part.trim();
  if (!text) return say("Type the name of a part first.");
  learn(data.of[at], text);
  chosen = text;
  if (picked.size) paint([...picked], chosen);
  else { say(`${chosen}: now click its pieces.`); refresh(); }
}

function typed(part) { choose(part); if (part.trim()) $("class").value = ""; }

// A digit: the framed piece gets the part too, and the frame moves on.
function give(part) {
  const last = picked.size ? null : framed;
  choose(part);
  if (last !== null) { paint([last], part); onward(last); }
}

function onward(last) {
  const order = pieces.visible, from = order.indexOf(last) + 1;
  framed = [...order.slice(from), ...order.slice(0, from)].find((one) => labels.of[item(at, one)] === null) ?? last;
  pieces.draw();
  tellTarget();
}

function unlabel() {
  if (!targets().length) return say("No piece is picked or framed.");
  paint(targets(), null);
}

// Pairs [piece, part]: the guesses for picked pieces, or else for all that can be seen of the shape.
function guessed() {
  const clusters = picked.size ? [...picked] : pieces.visible;
  return clusters.map((cluster) => [cluster, guessOf(at, cluster)?.part]).filter((pair) => pair[1] !== undefined);
}

function confirm() {
  const pairs = data.guesses ? guessed() : [];
  if (!pairs.length) return say("No guess to confirm here.");
  const count = labels.change(pairs.map(([cluster, part]) => [item(at, cluster), part]));
  picked.clear();
  refresh();
  say(`${plural(count, "guess")} confirmed.`);
}

function rest() {
  if (chosen === null) return say("Choose a part first.");
  paint(pieces.visible.filter((one) => labels.of[item(at, one)] === null), chosen);
}

function update(changed) {
  learnAll();
  const to = changed === undefined ? at : place.get(Math.floor(changed / count)) ?? at;
  if (to !== at) go(to);
  else refresh();
}

function unfinished() {
  const order = shapes.map((_, step) => (at + 1 + step) % shapes.length);
  const next = order.find((number) => !finished(number));
  if (next === undefined) say("Every shape is finished.");
  else go(next);
}

// Mouse: what is drawn over is picked, and gets the chosen part when the button is released.

let drawing = false;
$("views").addEventListener("pointerdown", (event) => {
  const cluster = pieces.at(event);
  if (cluster === null || event.button) return;
  $("views").focus({ preventScroll: true });
  if (event.ctrlKey || event.metaKey || event.shiftKey || chosen === null) return pick(cluster);
  drawing = true;
  framed = null;
  picked.add(cluster);
  pieces.draw();
});
$("views").addEventListener("pointermove", (event) => {
  pieces.hover(event);
  const cluster = drawing && event.pointerType !== "touch" ? pieces.at(event) : null;
  if (cluster === null || picked.has(cluster)) return;
  picked.add(cluster);
  pieces.draw();
});
$("views").addEventListener("pointerleave", (event) => pieces.hover(event));
addEventListener("pointerup", () => { if (drawing) { drawing = false; paint([...picked], chosen); } });
addEventListener("pointercancel", () => { if (drawing) { drawing = false; picked.clear(); refresh(); } });

function pick(cluster) {
  if (!picked.delete(cluster)) picked.add(cluster);
  framed = null;
  pieces.draw();
  tellTarget();
  if (chosen === null) say("Picked: now type or click the name of its part.");
}

// Keys and files

function frame(step) {
  const order = pieces.visible;
  framed = order[((framed === null ? (step > 0 ? -1 : 0) : order.indexOf(framed)) + step + order.length) % order.length] ?? null;
  pieces.draw();
  tellTarget();
}

function own(event, command, letter) {
  const moves = { ArrowUp: -1, PageUp: -1, ArrowDown: 1, PageDown: 1 };
  if (command) return false;
  if (event.key in moves) go(at + moves[event.key]);
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") frame(event.key === "ArrowLeft" ? -1 : 1);
  else if (event.key === " ") { if (framed !== null) { const kept = framed; pick(kept); framed = kept; pieces.draw(); } }
  else if (event.key === "Enter") { if (chosen !== null && targets().length) give(chosen); else say("Choose a part, and frame or pick a piece."); }
  else if (event.key === "Escape") { [framed, picked] = [null, new Set()]; refresh(); }
  else if (letter === "r") rest();
  else if (letter === "c") confirm();
  else if (letter === "n") unfinished();
  else return false;
  return true;
}

const desk = {
  file: "parts.csv", thing: "piece", label: "piece", name: "part", home: "views",
  text: () => writeParts(shapes.flatMap((_, number) => partsOf(number).flatMap((part, cluster) => (
    part === null ? [] : [{ path: names[number], cluster: cluster + 1, part, clusters: data.clusters[number] }])))),
  read: (text) => {
    const found = new Map(), faults = [];
    for (const row of parseParts(text)) {
      const number = finder.find(row.path), fault = (words) => faults.push(`line ${row.line}: ${words}`);
      if (number === undefined) fault(finder.unknown(row.path));
      else if (row.clusters !== data.clusters[number]) fault(`${names[number]} has other clusters here`);
      else if (!(Number.isInteger(row.cluster) && row.cluster >= 1 && row.cluster <= count)) fault(`there are clusters 1 to ${count}`);
      else if (row.part.length > 200) fault("has a part of more than 200 letters");
      else if ((found.get(item(number, row.cluster - 1)) ?? row.part) !== row.part) fault(`cluster ${row.cluster} of ${names[number]} has another part above`);
      else found.set(item(number, row.cluster - 1), row.part);
    }
    return { found, faults };
  },
  clicks: { before: () => go(at - 1), after: () => go(at + 1), unfinished, rest, confirm },
};

function start() {
  learnAll();
  $("strip").replaceChildren(...names.map((name, number) => {
    const [button, image] = ["button", "img"].map((tag) => document.createElement(tag));
    button.type = "button";
    button.title = name;
    image.alt = "";
    image.loading = "lazy";
    image.src = `data:${data.kind};base64,${pictures[number].views[0]}`;
    button.append(image);
    button.addEventListener("click", () => { go(number); $("views").focus({ preventScroll: true }); });
    return button;
  }));
  if (names.length) go(0);
  else refresh();
}
