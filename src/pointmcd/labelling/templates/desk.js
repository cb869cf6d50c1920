// What the pages for classes and for parts have in common: undo, files, what is kept, the keys that
// both have. A page gives `labels`, update(item), give(name), unlabel(), own(key), and `desk`:
// {file: its name, thing and label: words, name: what a digit means, home: the id of what has the keys,
// text() and read(text): of the file, clicks: by id}. choose(name) follows a click on a name, typed(name)
// what is typed; start() shows all.

const keeper = data.save ? null : new Keeper(data.fingerprint, data.base, labels);
const sender = data.save ? new Sender(data.save, saved) : null;
const restored = Object.keys(labels.edits()).length;
let downloaded = true;

function say(text) { $("said").textContent = text; }

function step(back) {
  const changes = back ? labels.undo() : labels.redo();
  if (!changes.length) return say(back ? "Nothing to undo." : "Nothing to do again.");
  update(changes[0].index);
  say(`${back ? "Undone" : "Done again"}: ${plural(changes.length, desk.thing)}.`);
}

// Shows where the labels stand.
function refreshDesk() {
  $("undo").disabled = !labels.done.length;
  $("redo").disabled = !labels.undone.length;
  $("over").disabled = !Object.keys(labels.edits()).length && !keeper?.earlier;
  tellKept();
}

// Lists names, each [name, count], as buttons with digits; returns whether they have changed.
function listNames(wanted, colour, title, pressed) {
  const list = $("classes"), state = JSON.stringify([wanted, pressed]);
  if (list.dataset.state === state) return false;
  list.dataset.state = state;
  list.replaceChildren(...wanted.map(([label, count], number) => {
    const [row, button, dot, name, sum] = ["li", "button", "i", "span", "small"].map((tag) => document.createElement(tag));
    button.type = "button";
    button.dataset.label = label;
    button.title = title(label);
    if (pressed !== undefined) button.setAttribute("aria-pressed", label === pressed);
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
  }));
  $("hint").hidden = wanted.length > 0;
  $("known").replaceChildren(...wanted.map(([label]) => new Option(label, label)));
  return true;
}

// Changes

labels.changed = (changes) => {
  downloaded = false;
  if (sender) sender.add(changes);
  else keeper.write();
};

// Files

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([desk.text()], { type: "text/csv;charset=utf-8" }));
  link.download = desk.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  downloaded = true;
  say(`${desk.file}: ${plural(labels.count, desk.label)}.`);
}

// Returns the text of bytes in UTF-8, or in UTF-16 with its mark (Excel's "Unicode text").
function decode(bytes) {
  const [first, second] = new Uint8Array(bytes);
  const wide = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : null;
  return new TextDecoder(wide ?? "utf-8", { fatal: true }).decode(bytes);
}

async function open(file) {
  if (!file) return;
  let read;
  try { read = desk.read(decode(await file.arrayBuffer())); } catch (error) {
    return say(`${file.name}: ${error instanceof TypeError ? "is not UTF-8 text; save it as CSV UTF-8" : error.message}`);
  }
  const { found, faults } = read;
  const count = labels.change([...found]);
  update();
  const left = faults.length ? ` ${plural(faults.length, "line")} left out; ${faults[0]}.` : "";
  say(`${file.name}: ${plural(found.size, desk.label)}, ${count} of them new.${left}`);
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
  say(`${plural(count, desk.label)} taken back; undo brings them again.`);
}

// Work of this browser upon other labels than this page's

function tellEarlier() {
  $("earlier").hidden = !keeper?.earlier;
  if (keeper?.earlier) $("differs").textContent = `In this browser ${plural(keeper.earlier.length, desk.thing)} had been given other ${desk.label}s than this page has.`;
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
  const command = event.ctrlKey || event.metaKey;
  const letter = event.key.toLowerCase();
  const emptyText = inText && event.target.tagName === "INPUT" && !event.target.value;
  if (event.target.closest?.("dialog") || event.altKey) return false;
  if (command && letter === "z" && (!inText || emptyText)) step(!event.shiftKey);
  else if (command && letter === "y" && (!inText || emptyText)) step(false);
  else if (inText) {
    if (event.key !== "Escape") return false;
    $(desk.home).focus();
  } else if (event.key === "/") { $("class").focus(); $("class").select(); }
  else if (event.key === "?") $("keys").showModal();
  else if (!command && /^[1-9]$/.test(event.key)) {
    const button = document.querySelector(`#classes li:nth-child(${event.key}) button`);
    if (!button) say(`There is no ${desk.name} ${event.key} yet.`);
    else give(button.dataset.label);
  } else if (event.target.matches("button, input, a, summary, label")) return false;
  else if (event.key === "Delete" || event.key === "Backspace") unlabel();
  else return own(event, command, letter);
  return true;
}

document.addEventListener("keydown", (event) => { if (key(event)) event.preventDefault(); });
$("apply").addEventListener("submit", (event) => { event.preventDefault(); typed($("class").value); $(desk.home).focus(); });
$("classes").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { choose(button.dataset.label); $(desk.home).focus({ preventScroll: true }); }
});
const clicks = {
  undo: () => step(true), redo: () => step(false), remove: unlabel, download, choose: () => $("file").click(),
  help: () => $("keys").showModal(), take: () => settleEarlier(true), drop: () => settleEarlier(false),
  over: () => {
    const back = plural(labels.begin.size, desk.label);
    $("ask").textContent = `All that was labelled here (${plural(Object.keys(labels.edits()).length, desk.thing)}) goes back to the ${back} that the page began with.`;
    $("sure").showModal();
  },
};
for (const [id, act] of Object.entries({ ...clicks, ...desk.clicks })) $(id)?.addEventListener("click", act);
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
  const now = labels.of.map((_, index) => saved.edits[index] ?? (index in saved.edits ? null : labels.begin.get(index) ?? null));
  labels._set(now.map((after, index) => ({ index, after })).filter(({ index, after }) => labels.of[index] !== after));
  update();
});

start();
tellEarlier();
if (restored) say(`${plural(restored, desk.label)} from before, kept in this browser.`);
$(desk.home).focus({ preventScroll: true });
