// A list of cards of which only those in sight are in the document, with keyboard and selection.

class Grid {
  // draw(card, index) fills the card of a shape; told() hears of a new selection.
  constructor(element, draw, told) {
    this.element = element;
    this.draw = draw;
    this.told = told;
    this.inner = element.firstElementChild;
    this.items = [];
    this.selected = new Set();
    this.active = 0;
    this.anchor = 0;
    this.cards = new Map();
    this.spare = []; // cards out of sight, to be used again
    element.addEventListener("scroll", () => this.frame(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(element);
    element.addEventListener("click", (event) => this.click(event));
    this.measure();
  }

  measure() {
    const width = this.element.clientWidth - 2 * this.pad;
    const least = width < 560 ? 100 : 140;
    this.columns = Math.max(1, Math.floor((width + this.gap) / (least + this.gap)));
    this.width = (width - this.gap * (this.columns - 1)) / this.columns;
    this.height = Math.round(this.width) + 44;
    this.frame();
  }

  get gap() { return 8; }
  get pad() { return 10; }
  get step() { return this.height + this.gap; }

  // Shows other shapes, the one with the frame at a position; what is not shown is not selected.
  show(items, active) {
    this.items = items;
    const shown = new Set(items);
    for (const index of this.selected) if (!shown.has(index)) this.selected.delete(index);
    this.active = Math.max(0, Math.min(active, items.length - 1));
    this.anchor = this.active;
    this.frame();
    this.told();
  }

  frame() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.render(); });
  }

  render() {
    const rows = Math.ceil(this.items.length / this.columns);
    this.inner.style.height = `${Math.max(0, rows * this.step - this.gap) + 2 * this.pad}px`;
    const top = Math.floor(this.element.scrollTop / this.step) - 2;
    const bottom = Math.ceil((this.element.scrollTop + this.element.clientHeight) / this.step) + 2;
    const from = Math.max(0, top) * this.columns, to = Math.min(this.items.length, bottom * this.columns);
    for (const [position, card] of this.cards) if (position < from || position >= to) { this.spare.push(card); this.cards.delete(position); }
    for (let position = from; position < to; position++) this.place(position);
    for (const card of this.spare.splice(0)) card.remove();
    const current = this.cards.get(this.active);
    if (current) this.element.setAttribute("aria-activedescendant", current.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  place(position) {
    const index = this.items[position];
    let card = this.cards.get(position);
    if (!card) {
      card = this.spare.pop();
      if (!card) {
        card = document.createElement("div");
        card.setAttribute("role", "option");
        this.inner.append(card);
      }
      card.id = `card-${position}`;
      card.dataset.position = position;
      this.cards.set(position, card);
    }
    const [row, column] = [Math.floor(position / this.columns), position % this.columns];
    Object.assign(card.style, {
      width: `${this.width}px`, height: `${this.height}px`,
      transform: `translate(${this.pad + column * (this.width + this.gap)}px, ${this.pad + row * this.step}px)`,
    });
    card.setAttribute("aria-selected", this.selected.has(index));
    card.setAttribute("aria-setsize", this.items.length);
    card.setAttribute("aria-posinset", position + 1);
    card.className = position === this.active ? "card active" : "card";
    this.draw(card, index);
  }

  // Frames a position and brings it into sight; with `range`, selects all up to the anchor.
  go(position, range) {
    if (!this.items.length) return;
    this.active = Math.max(0, Math.min(position, this.items.length - 1));
    if (range) this.selectRange();
    else this.anchor = this.active;
    const top = Math.floor(this.active / this.columns) * this.step;
    const box = this.element;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + this.step + this.pad > box.scrollTop + box.clientHeight) box.scrollTop = top + this.step + 2 * this.pad - box.clientHeight;
    this.render();
    this.told();
  }

  selectRange() {
    const [low, high] = [Math.min(this.anchor, this.active), Math.max(this.anchor, this.active)];
    this.selected = new Set(this.items.slice(low, high + 1));
  }

  toggle(position) {
    const index = this.items[position];
    if (index === undefined) return;
    if (!this.selected.delete(index)) this.selected.add(index);
    this.frame();
    this.told();
  }

  select(indices) {
    this.selected = new Set(indices);
    this.frame();
    this.told();
  }

  click(event) {
    const card = event.target.closest("[role=option]");
    if (!card) return;
    const position = Number(card.dataset.position);
    this.element.focus({ preventScroll: true });
    if (event.shiftKey) { this.active = position; this.selectRange(); }
    else {
      const many = event.ctrlKey || event.metaKey || event.pointerType === "touch";
      if (!many) this.selected.clear();
      this.active = this.anchor = position;
      this.toggle(position);
    }
    this.frame();
    this.told();
  }

  // Handles keys that move and select; returns whether it was one.
  key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.step)) * this.columns;
    const last = this.items.length - 1;
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page,
      Home: -this.active, End: last - this.active,
    };
    if (event.key in moves) {
      const to = this.active + moves[event.key];
      if (Math.abs(moves[event.key]) !== this.columns || (to >= 0 && to <= last)) this.go(to, event.shiftKey);
      else if (event.key === "ArrowDown" && Math.floor(last / this.columns) > Math.floor(this.active / this.columns)) this.go(last, event.shiftKey);
    } else if (event.key === " ") this.toggle(this.active);
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) this.select(this.items);
    else if (event.key === "Escape") this.select([]);
    else return false;
    return true;
  }
}
