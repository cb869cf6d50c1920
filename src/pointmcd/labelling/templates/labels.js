// The labels, what was done to them, and where they are kept.

class Labels {
  // begin: [index, class, split] of the labels that the page begins with.
  constructor(count, begin, classes) {
    this.begin = new Map(begin.map(([index, label]) => [index, label]));
    this.splits = new Map(begin.filter((row) => row[2]).map((row) => [row[0], row[2]]));
    this.of = new Array(count).fill(null);
    this.counts = new Map();
    this.classes = [...classes];
    this.done = [];
    this.undone = [];
    this.changed = () => {};
    this._set([...this.begin].map(([index, label]) => ({ index, after: label })));
  }

  get count() {
    let sum = 0;
    for (const count of this.counts.values()) sum += count;
    return sum;
  }

  _set(changes) {
    for (const { index, after } of changes) {
      const before = this.of[index];
      if (before !== null) this.counts.set(before, this.counts.get(before) - 1);
      if (after !== null) {
        this.counts.set(after, (this.counts.get(after) ?? 0) + 1);
        if (!this.classes.includes(after)) this.classes.push(after);
      }
      this.of[index] = after;
    }
  }

  // Gives shapes a class, or null for none: pairs [index, class]. Returns how many have changed.
  change(pairs) {
    const last = new Map(pairs);
    const changes = [...last].filter(([index, after]) => this.of[index] !== after)
      .map(([index, after]) => ({ index, before: this.of[index], after }));
    if (!changes.length) return 0;
    this.done.push(changes);
    this.undone = [];
    this._set(changes);
    this.changed(changes);
    return changes.length;
  }

  // Takes back, or does again, the last change; returns what has changed.
  undo() { return this._move(this.done, this.undone, (one) => ({ index: one.index, before: one.after, after: one.before })); }
  redo() { return this._move(this.undone, this.done, (one) => one); }

  _move(from, to, turn) {
    const changes = from.pop();
    if (!changes) return [];
    to.push(changes);
    const turned = changes.map(turn);
    this._set(turned);
    this.changed(turned);
    return turned;
  }

  // What differs from the beginning: {index: class or null}.
  edits() {
    const found = {};
    this.of.forEach((label, index) => {
      if (label !== (this.begin.get(index) ?? null)) found[index] = label;
    });
    return found;
  }

  rows(names) {
    return this.of.map((label, index) => ({ path: names[index], label, split: this.splits.get(index) }))
      .filter((row) => row.label !== null);
  }
}

// Keeps edits in this browser, by the store's fingerprint. `base` says which labels the page began
// with: edits made upon others are offered (`earlier`), not mixed in.
class Keeper {
  constructor(fingerprint, base, labels) {
    this.key = `pointmcd-label:${fingerprint}`;
    this.base = base;
    this.labels = labels;
    this.earlier = null;
    this.works = true;
    const saved = this.read();
    if (saved) this.take(saved);
  }

  read() {
    try {
      const saved = JSON.parse(localStorage.getItem(this.key));
      return saved && typeof saved.edits === "object" ? saved : null;
    } catch { this.works = false; return null; }
  }

  take(saved) {
    const last = this.labels.of.length;
    const valid = (edits) => Object.entries(edits ?? {}).map(([index, label]) => [Number(index), label])
      .filter(([index, label]) => index >= 0 && index < last && (label === null || typeof label === "string"))
      .filter(([index, label]) => this.labels.of[index] !== label);
    const edits = valid(saved.edits);
    if (saved.base === this.base) this.labels._set(edits.map(([index, after]) => ({ index, after })));
    const earlier = saved.base === this.base ? valid(saved.earlier) : edits;
    this.earlier = earlier.length ? earlier : null;
  }

  write() {
    const earlier = this.earlier ? Object.fromEntries(this.earlier) : undefined;
    const saved = JSON.stringify({ base: this.base, edits: this.labels.edits(), earlier });
    try { localStorage.setItem(this.key, saved); this.works = true; } catch { this.works = false; }
  }
}

// Sends changes to `pointmcd label --serve`, again and again until they are saved.
class Sender {
  constructor(address, report) {
    this.address = address;
    this.report = report;
    this.pending = new Map();
    this.busy = false;
  }

  add(changes) {
    for (const { index, after } of changes) this.pending.set(index, after);
    this.send();
  }

  async send() {
    if (this.busy || !this.pending.size) return;
    this.busy = true;
    const sent = new Map(this.pending);
    let fault = null;
    try {
      const answer = await fetch(this.address, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ changes: [...sent] }),
      });
      if (!answer.ok) fault = (await answer.text()).trim() || `error ${answer.status}`;
    } catch { fault = "pointmcd label no longer answers; start it again, or download the labels"; }
    if (fault === null) for (const [index, label] of sent) if (this.pending.get(index) === label) this.pending.delete(index);
    this.busy = false;
    this.report(fault);
    if (fault !== null) setTimeout(() => this.send(), 3000);
    else this.send();
  }
}
