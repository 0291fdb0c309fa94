// What a task answered, in words and bars: by its kind, classes and units of the label asset.

const MOST_BARS = 10;
const percent = (p) => (Number.isFinite(p) ? `${(100 * p).toFixed(1)} %` : "not known");
const rounded = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
const amount = (v) => (typeof v === "number" ? (Number.isNaN(v) ? "not known" : rounded.format(v)) : String(v));
const flat = (v) => (Array.isArray(v) ? v.flat(Infinity) : [v]);

/** The card of one task. `told` is its entry in the labels, `words` the sentence if there is one. */
function answerFor(task, told, tensor, words) {
  // The page asks for a single row.
  const row = Array.isArray(tensor) && tensor.length === 1 ? tensor[0] : tensor;
  const shown = KINDS[told.kind];
  const read = shown && fits(told, row) ? shown[1] : bare;
  const title = make("h2", {}, task, make("small", {}, shown ? shown[0] : ""));
  const node = make("section", { class: read === tags ? "answer wide" : "answer", "aria-label": `Answer of ${task}` }, title);
  node.append(...read(row, told, words));
  return node;
}

const KINDS = {
  __proto__: null,
  MultiClass: ["one class", oneClass],
  Binary: ["yes or no", twoClasses],
  MultiLabel: ["any of several", anyClasses],
  Ordinal: ["a grade", grade],
  Regression: ["numbers", quantities],
  SequenceTagging: ["tags of words", tags],
};

/** Whether the numbers are what the labels are about. */
function fits(told, row) {
  if (!Array.isArray(row)) return false;
  const names = told.classes || told.dimensions || [];
  if (told.kind === "SequenceTagging") return row.every((one) => Array.isArray(one) && one.length === names.length);
  if (told.kind === "Binary") return row.length === 1 && names.length === 2;
  return row.length === names.length && row.every((one) => typeof one === "number");
}

const best = (row) => row.reduce((most, p, i) => (p > row[most] ? i : most), 0);
const said = (text) => make("p", { class: "said" }, text);

function bars(pairs, chosen) {
  const lines = pairs.map(({ name, p }) => {
    const fill = make("div");
    fill.style.width = `${Math.min(100, Math.max(0, 100 * p)) || 0}%`;
    return make("li", { class: chosen.includes(name) ? "chosen" : null }, make("span", { class: "name" }, name),
      make("span", { class: "share" }, percent(p)), make("div", { class: "track", "aria-hidden": "true" }, fill));
  });
  const list = make("ol", { class: "bars" }, ...lines.slice(0, MOST_BARS));
  if (lines.length <= MOST_BARS) return [list];
  const more = make("button", { type: "button", class: "more" }, `Show all ${lines.length}`);
  more.addEventListener("click", () => { list.append(...lines.slice(MOST_BARS)); more.remove(); });
  return [list, more];
}

const paired = (row, names) => names.map((name, i) => ({ name, p: row[i] }));
const sorted = (pairs) => [...pairs].sort((a, b) => b.p - a.p);

function oneClass(row, told) {
  const name = told.classes[best(row)];
  return [said(name), ...bars(sorted(paired(row, told.classes)), [name])];
}

function twoClasses([p], told) {
  const name = told.classes[p > 0.5 ? 1 : 0];
  const note = told.given ? [make("p", { class: "hint" }, `Together with ${told.given}, which it presupposes.`)] : [];
  return [said(name), ...bars(sorted(paired([1 - p, p], told.classes)), [name]), ...note];
}

function anyClasses(row, told) {
  const there = told.classes.filter((_, i) => row[i] > 0.5);
  return [said(there.join(", ") || "none"), ...bars(sorted(paired(row, told.classes)), there)];
}

function grade(row, told) {
  // The median: the first grade that at least half of the probability is not above.
  let sum = 0;
  const middle = row.findIndex((p) => (sum += p) >= 0.5);
  const name = told.classes[middle < 0 ? row.length - 1 : middle];
  return [said(name), ...bars(paired(row, told.classes), [name])];
}

function quantities(row, told) {
  const units = told.units ? ` ${told.units}` : "";
  if (row.length === 1) return [said(amount(row[0]) + units)];
  const lines = row.map((v, i) => make("tr", {}, make("th", { scope: "row" }, told.dimensions[i]),
    make("td", { class: "number" }, amount(v) + units)));
  return [make("table", {}, make("tbody", {}, ...lines))];
}

/** Runs of words under one name: by BIO and its kin, else each word that is not O by itself. */
function spans(names, classes) {
  const inOut = classes.some((name) => /^[BIESLU]-/.test(name));
  const found = [];
  names.forEach((name, i) => {
    const [, place, kind] = (inOut && /^([BIESLU])-(.*)$/.exec(name)) || [null, "B", name];
    const last = found[found.length - 1];
    if (name === "O") return;
    const goes = last && last.end === i && last.kind === kind && inOut && "IEL".includes(place);
    if (goes) last.end = i + 1;
    else found.push({ kind, start: i, end: i + 1 });
  });
  return found;
}

function tags(row, told, words) {
  const kinds = [...new Set(told.classes.filter((name) => name !== "O").map((name) => name.replace(/^[BIESLU]-/, "")))];
  // What is beyond the words is padding.
  const rows = words ? row.slice(0, words.length) : row;
  const shownWords = rows.map((_, i) => (words ? words[i] : `${i + 1}`));
  const chosen = rows.map((one) => best(one));
  const names = chosen.map((one) => told.classes[one]);
  const found = spans(names, told.classes);
  const sentence = make("p", { class: "sentence" });
  for (let i = 0; i < rows.length; ) {
    const span = found.find((one) => one.start === i);
    const end = span ? span.end : i + 1;
    const text = shownWords.slice(i, end).join(" ");
    sentence.append(span
      ? make("mark", { class: `hue${kinds.indexOf(span.kind) % 8}` }, text, make("small", {}, span.kind))
      : text, " ");
    i = end;
  }
  const lines = rows.map((one, i) => make("tr", {}, make("th", { scope: "row" }, shownWords[i]),
    make("td", {}, names[i]), make("td", { class: "number" }, percent(one[chosen[i]]))));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...["Word", "Tag", "Probability"].map((name) =>
    make("th", { scope: "col" }, name)))), make("tbody", {}, ...lines));
  const none = found.length ? [] : [make("p", { class: "hint" }, "No word was tagged.")];
  return [sentence, ...none, make("details", {}, make("summary", {}, "Word by word"), table)];
}

/** An answer whose meaning nobody wrote down. */
function bare(row) {
  const values = flat(row);
  if (values.length === 1) return [said(amount(values[0]))];
  const told = JSON.stringify(row, (_, v) => (typeof v === "number" ? Number(v.toPrecision(5)) : v));
  return [make("pre", { tabindex: "0", "aria-label": "Numbers of the answer" }, told.slice(0, 4000))];
}
