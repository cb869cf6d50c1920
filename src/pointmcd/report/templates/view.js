// Shapes in 3D: which one, and how its points are coloured. Plotly draws and turns them.

const $ = (id) => document.getElementById(id);
const scenes = JSON.parse($("data").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
const dark = matchMedia("(prefers-color-scheme: dark)");

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

// Plotly's z is up; the shapes' y is.
function traces(scene) {
  const values = new Float32Array(bytes(scene.points).buffer), count = values.length / 3;
  const part = (rows) => ({ x: rows.map((i) => values[3 * i + 2]), y: rows.map((i) => values[3 * i]), z: rows.map((i) => values[3 * i + 1]) });
  const size = Math.max(1.5, Math.min(6, 150 / Math.sqrt(count)));
  const common = { type: "scatter3d", mode: "markers", hoverinfo: "name" };
  const paint = scene.paints.find((one) => one.name === $("paint").value);
  const every = [...Array(count).keys()];
  if (!paint) {
    const all = part(every);
    return [{ ...common, ...all, name: scene.name, showlegend: false, hoverinfo: "skip", marker: { size, color: all.z, colorscale: "Viridis" } }];
  }
  const groups = bytes(paint.groups);
  return paint.names.map((name, group) => ({ ...common, ...part([...groups.keys()].filter((i) => groups[i] === group)), name, marker: { size, color: paint.colours[group] } }))
    .filter((trace) => trace.x.length);
}

function draw() {
  const scene = scenes[$("shape").value];
  const style = getComputedStyle(document.body);
  const box = $("scene"), far = Math.max(1, box.clientHeight / box.clientWidth);
  const axis = { visible: false, range: [-1.05, 1.05] };
  const layout = {
    uirevision: "one", margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: style.backgroundColor, font: { color: style.color },
    scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", camera: { eye: { x: 1.05 * far, y: 0.75 * far, z: 0.55 * far } } },
    legend: { x: 0, y: 1, itemsizing: "constant" }, showlegend: true,
  };
  $("note").textContent = scene.note;
  Plotly.react("scene", traces(scene), layout, { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetCameraDefault3d"]] });
}

// A way to colour stays when the next shape has it too.
function choose() {
  const before = $("paint").value, scene = scenes[$("shape").value];
  $("paint").replaceChildren(option("", "coloured by height"), ...scene.paints.map((one) => option(one.name, one.name)));
  const there = scene.paints.some((one) => one.name === before);
  $("paint").value = there ? before : scene.paints.find((one) => one.name.endsWith("parts"))?.name ?? "";
  $("paint").hidden = !scene.paints.length;
  draw();
}

function step(by) {
  $("shape").value = (Number($("shape").value) + by + scenes.length) % scenes.length;
  choose();
}

$("shape").replaceChildren(...scenes.map((scene, index) => option(index, scene.name)));
for (const id of ["shape", "back", "next"]) $(id).hidden = scenes.length < 2 && id !== "shape";
$("shape").addEventListener("change", choose);
$("paint").addEventListener("change", draw);
$("back").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
addEventListener("keydown", (event) => {
  if (event.target.tagName === "SELECT") return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dark.addEventListener("change", draw);
choose();
