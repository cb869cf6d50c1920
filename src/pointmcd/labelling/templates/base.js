// What the pages have in common.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const pictures = JSON.parse($("pictures").textContent);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : word.endsWith("s") ? "es" : "s"}`;
// Colours of classes by their place, as different as hues allow: the golden angle.
const hue = (place) => `hsl(${Math.round(place * 137.5) % 360} 62% 46%)`;
const picture = (index) => `data:${data.kind};base64,${pictures[index]}`;
