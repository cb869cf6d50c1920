// The views of one shape, on which its clusters are painted and found under the mouse.

class Pieces {
  // paint(cluster) returns {colour, strong, marked}; told(cluster or null) hears what is under the mouse.
  constructor(element, paint, told) {
    this.element = element;
    this.paint = paint;
    this.told = told;
    this.tiles = [];
    this.under = null;
    this.turn = 0;
  }

  // Shows a shape: {views, sides, maps}.
  async show(drawing, alt) {
    const turn = ++this.turn;
    const maps = await Promise.all(drawing.maps.map(inflate));
    if (turn !== this.turn) return; // another shape has been asked for
    this.tiles = drawing.views.map((view, number) => {
      const tile = document.createElement("div");
      const [image, canvas] = ["img", "canvas"].map((tag) => document.createElement(tag));
      image.src = `data:${data.kind};base64,${view}`;
      image.alt = number ? "" : alt;
      canvas.width = canvas.height = drawing.sides[number];
      canvas.dataset.view = number;
      tile.className = "tile";
      tile.append(image, canvas);
      return { tile, canvas, map: maps[number], side: drawing.sides[number] };
    });
    this.element.dataset.views = this.tiles.length;
    this.element.replaceChildren(...this.tiles.map((one) => one.tile));
    this.draw();
  }

  // The clusters that a view shows, in order.
  get visible() {
    const found = new Set();
    for (const { map } of this.tiles) for (const number of map) if (number) found.add(number - 1);
    return [...found].sort((one, two) => one - two);
  }

  draw() {
    for (const { canvas, map, side } of this.tiles) {
      const context = canvas.getContext("2d"), image = context.createImageData(side, side);
      const looks = new Map();
      for (let place = 0; place < map.length; place++) {
        const number = map[place];
        if (!number) continue;
        if (!looks.has(number)) looks.set(number, this.look(number - 1));
        const { fill, edge, marked } = looks.get(number);
        const [x, y] = [place % side, Math.floor(place / side)];
        const ends = (x && map[place - 1] !== number) || (y && map[place - side] !== number)
          || (marked && (map[place + 1] !== number || map[place + side] !== number));
        image.data.set(ends ? edge : marked && (x + y) % 6 < 2 ? edge : fill, 4 * place);
      }
      context.putImageData(image, 0, 0);
    }
  }

  look(cluster) {
    const { colour, strong, marked } = this.paint(cluster);
    const alpha = (strong ? 160 : 72) + (cluster === this.under ? 60 : 0);
    return { fill: [...colour, alpha], edge: marked ? [0, 0, 0, 230] : [20, 26, 34, 110], marked };
  }

  // The cluster at the place of an event, or null.
  at(event) {
    const found = this.tiles.find((one) => one.canvas === event.target);
    if (!found) return null;
    const box = found.canvas.getBoundingClientRect(), side = Math.min(box.width, box.height);
    const x = Math.floor(((event.clientX - box.left - (box.width - side) / 2) / side) * found.side);
    const y = Math.floor(((event.clientY - box.top - (box.height - side) / 2) / side) * found.side);
    const inside = Math.min(x, y) >= 0 && Math.max(x, y) < found.side;
    const number = inside ? found.map[y * found.side + x] : 0;
    return number ? number - 1 : null;
  }

  hover(event) {
    const under = this.at(event);
    if (under === this.under) return;
    this.under = under;
    this.draw();
    this.told(under);
  }
}

// Returns the bytes of a text of compressed bytes.
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Returns red, green and blue of hsl(hue saturation% lightness%), as `hue` of base.js has them.
function rgb(turn, saturation, lightness) {
  const [s, l] = [saturation / 100, lightness / 100], a = s * Math.min(l, 1 - l);
  return [0, 8, 4].map((n) => {
    const k = (n + turn / 30) % 12;
    return Math.round(255 * (l - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}
