// Label files, read and written as pointmcd/data/labels.py does.

const COLUMNS = { path: ["path", "file", "name", "shape"], label: ["class", "label", "category"] };
const SPLITS = ["train", "val", "test"];

// Returns the lines of a table, each {line, cells}; a quoted cell may hold anything.
function parseTable(text, delimiter) {
  const rows = [];
  let cells = [], cell = "", line = 1, start = 1, quoted = false, wasQuoted = false;
  const endCell = () => { cells.push(cell); cell = ""; wasQuoted = false; };
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
  const delimiter = first.includes(",") ? "," : first.includes("\t") ? "\t" : first.includes(";") ? ";" : ",";
  const table = parseTable(text, delimiter);
  return { head: table.length ? table[0].cells.map((cell) => cell.trim().toLowerCase()) : [], table };
}

// Returns rows {line, path, label, split} of a label file; throws an Error that names the line.
function parseLabels(text) {
  let { head, table } = readTable(text);
  if (head.includes("cluster") && head.includes("part")) throw new Error("names parts, not classes");
  let [path, label, split] = [0, 1, 2];
  const paths = head.findIndex((cell) => COLUMNS.path.includes(cell));
  const labels = head.findIndex((cell) => COLUMNS.label.includes(cell));
  if (paths >= 0 && labels >= 0) {
    [path, label, split] = [paths, labels, head.indexOf("split")];
    table = table.slice(1);
  }
  return table.map(({ line, cells }) => {
    if (cells.length <= Math.max(path, label)) {
      throw new Error(`line ${line}: has no class; write path,class, or name these columns in the first line`);
    }
    const of = (cells[split] ?? "").trim().toLowerCase();
    if (of && !SPLITS.includes(of)) {
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

// Returns a function from a path to the index of the shape that it means, or undefined.
function finder(names) {
  const places = new Map(names.map((name, index) => [name, index]));
  return (text) => {
    if (places.has(text)) return places.get(text);
    const parts = text.trim().replaceAll("\\", "/").split("/").filter((part) => part && part !== ".");
    for (let above = 0; above < parts.length; above++) {
      const below = parts.slice(above).join("/");
      const dot = parts.at(-1).lastIndexOf(".");
      const bare = dot > 0 && dot < parts.at(-1).length - 1 ? below.slice(0, dot - parts.at(-1).length) : below;
      for (const name of [below, bare]) if (places.has(name)) return places.get(name);
    }
    return undefined;
  };
}
