// Label files, read and written as pointmcd/data/labels.py does.

// Names of the columns; where a table has several, the first here counts.
const COLUMNS = { path: ["path", "file", "filename", "file_name", "filepath", "file_path", "name", "shape"], label: ["class", "label", "category"] };
const SPLITS = ["train", "val", "test"];

// Returns the lines of a table, counted from `start`, each {line, cells}; a quoted cell may hold anything.
function parseTable(text, delimiter, start) {
  const rows = [];
  let cells = [], cell = "", line = start, quoted = false, wasQuoted = false;
  const endCell = () => { cells.push(cell.normalize("NFC")); cell = ""; wasQuoted = false; };
  const endRow = () => {
    endCell();
    if (cells.some((one) => one.trim())) rows.push({ line: start, cells });
    cells = [];
  };
  for (let i = 0; i < text.length; i++) {
    const mark = text[i];
    if (mark === "\n") line++;
    if (quoted) {
      if (mark !== '"') cell += mark;
      else if (text[i + 1] === '"') { cell += '"'; i++; } else quoted = false;
    } else if (mark === '"' && cell === "" && !wasQuoted) quoted = wasQuoted = true;
    else if (mark === delimiter) endCell();
    else if (mark === "\n" || mark === "\r") {
      if (mark === "\r" && text[i + 1] === "\n") { i++; line++; }
      endRow();
      start = line;
    } else cell += mark;
  }
  if (quoted) throw new Error(`line ${start}: a quote is left open`);
  if (cell || cells.length) endRow();
  return rows;
}

// Returns the first line's cells in small letters, and all lines.
function readTable(text) {
  text = text.replace(/^\ufeff/, "");
  const first = text.split("\n", 1)[0];
  const named = text.match(/^sep=([,;|\t])\r?(?:\n|$)/i); // Excel's
  const delimiter = named ? named[1] : first.includes(",") ? "," : first.includes("\t") ? "\t" : first.includes(";") ? ";" : ",";
  const table = parseTable(named ? text.slice(named[0].length) : text, delimiter, named ? 2 : 1);
  return { head: table.length ? table[0].cells.map((cell) => cell.trim().toLowerCase()) : [], table };
}

// Returns rows {line, path, label, split} of a label file; throws an Error that names the line.
function parseLabels(text) {
  let { head, table } = readTable(text);
  if (head.includes("cluster") && head.includes("part")) throw new Error("names parts, not classes");
  let [path, label, split] = [0, 1, 2];
  const [paths, labels] = [COLUMNS.path, COLUMNS.label].map((names) => head.indexOf(names.find((name) => head.includes(name))));
  if (paths >= 0 && labels >= 0) {
    [path, label, split] = [paths, labels, head.indexOf("split")];
    table = table.slice(1);
  } else if (paths >= 0 || labels >= 0) {
    const lacking = labels >= 0 ? `paths: call it ${[...COLUMNS.path.slice(0, 2), ...COLUMNS.path.slice(-2)].join(" or ")}` : `classes: call it ${COLUMNS.label.join(" or ")}`;
    throw new Error(`line ${table[0].line} (${head.join(", ")}) names no column of ${lacking}; if it is a shape, put path,class above it`);
  }
  return table.map(({ line, cells }) => {
    if (cells.length <= Math.max(path, label)) {
      throw new Error(`line ${line}: has no class; write path,class, or name these columns in the first line`);
    }
    const of = (cells[split] ?? "").trim().toLowerCase();
    if (of && !SPLITS.includes(of)) {
      if (line === 1 && !/[./\\]/.test(cells[0])) throw new Error(`line 1 (${cells.join(", ")}) looks like a header; call its columns path and class`);
      const hint = line === 1 ? "; name its columns in the first line: path, class, split" : "";
      throw new Error(`line ${line}: split ${of}: use one of ${SPLITS.join(", ")}, or none${hint}`);
    }
    return { line, path: cells[path], label: cells[label].trim(), split: of || null };
  }).filter((row) => row.label);
}

// Returns the text of a table with lines of cells.
function writeTable(lines) {
  const quote = (cell) => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return lines.map((cells) => cells.map((cell) => quote(String(cell))).join(",") + "\n").join("");
}

// Returns the text of a label file with rows {path, label, split}.
function writeLabels(rows) {
  const split = rows.some((row) => row.split);
  const lines = [["path", "class", "split"], ...rows.map((row) => [row.path, row.label, row.split ?? ""])];
  return writeTable(lines.map((cells) => cells.slice(0, 2 + split)));
}

const PART_COLUMNS = ["path", "cluster", "part", "clusters"];

// Returns rows {line, path, cluster, part, clusters} of a part file; throws an Error that names the line.
function parseParts(text) {
  const { head, table } = readTable(text);
  const places = PART_COLUMNS.map((name) => head.indexOf(name));
  const lacks = PART_COLUMNS.find((_, number) => places[number] < 0);
  if (lacks) throw new Error(`lacks the column ${lacks}`);
  return table.slice(1).map(({ line, cells }) => {
    if (cells.length <= Math.max(...places)) throw new Error(`line ${line}: has fewer than ${PART_COLUMNS.length} cells`);
    const [path, cluster, part, clusters] = places.map((place) => cells[place]);
    return { line, path, cluster: Number(cluster), part: part.trim(), clusters: clusters.trim() };
  }).filter((row) => row.part);
}

// Returns the text of a part file.
const writeParts = (rows) => writeTable([PART_COLUMNS, ...rows.map((row) => PART_COLUMNS.map((name) => row[name]))]);

// Says that the first row, if it alone names no shape, looks like a header; "" if it does not.
function unnamedHeader([first, ...others]) {
  const again = others.some((row) => row.path === first.path || row.label === first.label);
  if (again || /[./\\]/.test(first.path)) return "";
  return `line ${first.line} (${first.path}, ${first.label}) looks like a header; call its columns path and class`;
}

// Finds shapes by the paths in a label file, as pointmcd/data/shape_names.py does, as far as the
// page knows: of each shape's file, the end of the path, or null.
class ShapeNames {
  constructor(names, files) {
    [this.names, this.files] = [names, files];
    this.places = new Map(names.map((name, index) => [name.normalize("NFC"), index]));
  }

  // Returns the index of the shape that a path means, or undefined.
  find(text) {
    const exact = this.places.get(text.normalize("NFC"));
    return exact ?? this.called(text).find((index) => this.fits(text, index));
  }

  // Says that a path means no shape, and what comes nearest.
  unknown(text) {
    const near = this.called(text).find((index) => this.files[index]);
    const told = near === undefined ? "" : `; ${this.names[near]} comes from ${this.files[near]}: correct the path`;
    return `no shape ${text} on this page${told}`;
  }

  called(text) {
    const parts = rowParts(text);
    return parts.flatMap((_, above) => [parts.slice(above), bare(parts.slice(above))])
      .map((below) => this.places.get(below.join("/"))).filter((index) => index !== undefined);
  }

  fits(text, index) {
    if (!this.files[index]) return true;
    const file = this.files[index].split("/"), row = rowParts(text);
    const count = Math.min(row.length, file.length);
    const [said, own] = [row.slice(-count), file.slice(-count)];
    return said.join("/") === bare(own).join("/") || plain(said).join("/") === plain(own).join("/");
  }
}

// The parts of a path, without the root and steps up before them; a zip counts as a folder.
function rowParts(text) {
  const parts = text.trim().normalize("NFC").replaceAll("\\", "/").split("/").filter((part) => part && part !== ".");
  const first = parts.findIndex((part) => part !== "..");
  return parts.slice(first < 0 ? parts.length : first).map((part, place, all) => (place < all.length - 1 ? part.replace(/\.zip$/, "") : part));
}

// Splits the last part of a path into its stem and suffix.
function suffixed(parts) {
  const file = parts.at(-1), dot = file.lastIndexOf(".");
  return dot > 0 && dot < file.length - 1 ? [file.slice(0, dot), file.slice(dot)] : [file, ""];
}

const bare = (parts) => [...parts.slice(0, -1), suffixed(parts)[0]];
const plain = (parts) => [...parts.slice(0, -1), suffixed(parts)[0] + suffixed(parts)[1].toLowerCase()];
