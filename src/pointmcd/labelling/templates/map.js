// The map: points on a canvas, moved and zoomed by mouse, finger or keys.

const { names, labels, guesses, places, splits } = data;
const canvas = $("map"), pen = canvas.getContext("2d");
const none = "no label";
const guess = guesses ? guesses.best.map((best) => guesses.classes[best]) : [];
const known = [...new Set([...(guesses ? guesses.classes : []), ...labels.filter((label) => label !== null)])].sort();
const differ = (index) => labels[index] === null ? none : labels[index] === guess[index] ? "as labelled" : "guess differs";
const groups = {
  label: { of: (index) => labels[index] ?? none, all: known },
  guess: { of: (index) => guess[index], all: guesses ? guesses.classes : [] },
  wrong: { of: differ, all: ["as labelled", "guess differs"] },
  split: { of: (index) => splits[index], all: ["train", "val", "test", "none"] },
};
const grey = "hsl(215 10% 62%)";
const view = { scale: 1, x: 0, y: 0 };
let by = "label", alone = null, words = "", framed = null, marked = [];

const colour = (group) => {
  const place = groups[by].all.indexOf(group);
  if (by === "wrong" && place === 0) return grey;
  return place < 0 ? grey : hue(place);
};
const shown = (index) => (alone === null || groups[by].of(index) === alone) && (!words || names[index].toLowerCase().includes(words));
const side = () => Math.min(canvas.clientWidth, canvas.clientHeight) - 40;
const at = (index) => [
  canvas.clientWidth / 2 + ((places[index][0] - 0.5) * side() + view.x) * view.scale,
  canvas.clientHeight / 2 + ((0.5 - places[index][1]) * side() + view.y) * view.scale,
];

// Drawing

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
}

function paint() {
  const ratio = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const radius = Math.max(2.5, Math.min(9, 60 / Math.sqrt(names.length)) * Math.sqrt(view.scale));
  for (const faint of [true, false]) {
    pen.globalAlpha = faint ? 0.12 : 0.85;
    for (let index = 0; index < names.length; index++) {
      if (shown(index) === faint) continue;
      const [x, y] = at(index);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      pen.fillStyle = colour(groups[by].of(index));
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = 2;
  for (const index of new Set([...marked, ...(framed === null ? [] : [framed])])) {
    pen.beginPath();
    pen.arc(...at(index), radius + 4, 0, 7);
    pen.stroke();
  }
  tell();
}

function tell() {
  const tip = $("tip");
  tip.hidden = framed === null;
  if (framed === null) return;
  const [image, name, rest] = [tip.querySelector("img"), tip.children[1], tip.children[2]];
  if (name.textContent !== names[framed]) {
    image.src = picture(framed);
    name.textContent = names[framed];
    const said = guesses ? `, guess ${guess[framed]} ${guesses.sure[framed]}%` : "";
    rest.textContent = `${labels[framed] ?? none}${said}, ${splits[framed]}`;
  }
  const [x, y] = at(framed), { offsetWidth, offsetHeight } = tip;
  const left = x + 16 + offsetWidth > canvas.clientWidth ? x - 16 - offsetWidth : x + 16;
  const top = Math.min(Math.max(6, y - offsetHeight / 2), canvas.clientHeight - offsetHeight - 6);
  tip.style.transform = `translate(${Math.max(6, left)}px, ${top}px)`;
}

// Moves

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const scale = Math.max(0.5, Math.min(200, view.scale * factor));
  const [dx, dy] = [x - canvas.clientWidth / 2, y - canvas.clientHeight / 2];
  view.x += dx / scale - dx / view.scale;
  view.y += dy / scale - dy / view.scale;
  view.scale = scale;
  draw();
}

function whole() {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  draw();
}

// Frames shapes and brings them into sight.
function find(indices) {
  marked = indices;
  framed = indices[0];
  const far = Math.max(...indices.map((one) => Math.hypot(places[one][0] - places[framed][0], places[one][1] - places[framed][1])));
  view.scale = Math.max(view.scale, Math.min(8, 0.3 / Math.max(far, 1e-3)));
  view.x = -(places[framed][0] - 0.5) * side();
  view.y = -(0.5 - places[framed][1]) * side();
  draw();
}

function nearest(x, y, reach) {
  let [best, least] = [null, reach];
  for (let index = 0; index < names.length; index++) {
    if (!shown(index)) continue;
    const [left, top] = at(index), far = Math.hypot(left - x, top - y);
    if (far < least) [best, least] = [index, far];
  }
  return best;
}

const fingers = new Map();
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  canvas.classList.add("hand");
});
canvas.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId), now = [event.offsetX, event.offsetY];
  if (!before) {
    const index = nearest(...now, 14);
    if (index !== framed) { framed = index; draw(); }
    return;
  }
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const span = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]) || 1;
    zoom(span(now) / span(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else {
    view.x += (now[0] - before[0]) / view.scale;
    view.y += (now[1] - before[1]) / view.scale;
  }
  fingers.set(event.pointerId, now);
  draw();
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => {
  fingers.delete(event.pointerId);
  canvas.classList.remove("hand");
  if (kind === "pointerup" && event.pointerType !== "mouse") { framed = nearest(event.offsetX, event.offsetY, 24); draw(); }
});
canvas.addEventListener("pointerleave", () => { if (!fingers.size && document.activeElement !== canvas) { framed = null; draw(); } });
canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY); }, { passive: false });

// The nearest shape in a direction: how far it is to the side counts twice.
function step(dx, dy) {
  if (framed === null) { framed = nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, Infinity); draw(); return; }
  const [x, y] = at(framed);
  let [best, least] = [null, Infinity];
  for (let index = 0; index < names.length; index++) {
    const [left, top] = at(index), along = (left - x) * dx + (top - y) * dy, across = Math.abs((left - x) * dy - (top - y) * dx);
    if (index === framed || !shown(index) || along < 1) continue;
    if (along + 2 * across < least) [best, least] = [index, along + 2 * across];
  }
  if (best === null) return;
  framed = best;
  const [left, top] = at(best), { clientWidth: width, clientHeight: height } = canvas;
  view.x += (Math.min(0, width - 40 - left) + Math.max(0, 40 - left)) / view.scale;
  view.y += (Math.min(0, height - 40 - top) + Math.max(0, 40 - top)) / view.scale;
  draw();
}

canvas.addEventListener("keydown", (event) => {
  const acts = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: whole,
    Escape: () => { framed = null; marked = []; draw(); },
  };
  if (event.ctrlKey || event.metaKey || !(event.key in acts)) return;
  event.preventDefault();
  acts[event.key]();
});

// Lists beside the map

function button(content, act) {
  const [item, made] = [document.createElement("li"), document.createElement("button")];
  made.type = "button";
  made.append(...content);
  made.addEventListener("click", act);
  item.append(made);
  return item;
}

function element(name, text, kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  return made;
}

function legend() {
  const counts = new Map();
  for (let index = 0; index < names.length; index++) counts.set(groups[by].of(index), (counts.get(groups[by].of(index)) ?? 0) + 1);
  const order = [...groups[by].all, none].filter((group) => counts.has(group));
  $("legend").replaceChildren(...order.map((group) => {
    const dot = document.createElement("i");
    dot.style.background = colour(group);
    const item = button([dot, element("span", group), element("small", counts.get(group).toLocaleString("en"))], () => {
      alone = alone === group ? null : group;
      legend();
      draw();
    });
    item.firstChild.setAttribute("aria-pressed", alone === group);
    return item;
  }));
}

function tile(index) {
  const [frame, image] = [element("span", "", "tile"), document.createElement("img")];
  image.alt = "";
  image.loading = "lazy";
  image.src = picture(index);
  frame.append(image);
  return frame;
}

function list() {
  const pairs = document.querySelector("input[name=list]:checked").value === "pairs";
  const rows = pairs ? data.pairs : data.outliers.map((index) => [index]);
  $("list").replaceChildren(...rows.map(([one, two, likeness, twin]) => {
    const indices = pairs ? [one, two] : [one];
    const apart = pairs && labels[one] !== null && labels[two] !== null && labels[one] !== labels[two];
    const text = element("span", "");
    text.append(...indices.map((index) => element("span", names[index].split("/").at(-1))));
    text.append(element("span", apart ? `${labels[one]} or ${labels[two]}?` : labels[one] ?? none, apart ? "apart" : ""));
    const item = button([...indices.map(tile), text, element("small", pairs ? (twin ? "twins" : likeness.toFixed(3)) : "")], () => find(indices));
    item.title = indices.map((index) => names[index]).join(" and ");
    return item;
  }));
}

for (const input of document.querySelectorAll("input[name=by]")) input.addEventListener("change", () => { by = input.value; alone = null; legend(); draw(); });
for (const input of document.querySelectorAll("input[name=list]")) input.addEventListener("change", list);
$("search").addEventListener("input", () => { words = $("search").value.trim().toLowerCase(); draw(); });
$("in").addEventListener("click", () => zoom(1.5));
$("out").addEventListener("click", () => zoom(1 / 1.5));
$("all").addEventListener("click", whole);
new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
legend();
list();
draw();
