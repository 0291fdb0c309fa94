// A picture as an input: from a file, or drawn where it is small and grey.

const SCALES = { "0 to 1": (v) => v, "0 to 255": (v) => v * 255, "−1 to 1": (v) => v * 2 - 1 };

function picture(spec, id, [height, width, last], channels) {
  const drawn = channels === 1 && height <= MOST_DRAWN && width <= MOST_DRAWN;
  const colours = Math.min(channels, 3);
  // Values from 0 to 1, row by row, `colours` to a pixel.
  const pixels = new Float32Array(height * width * colours);
  const what = `${spec.name}, ${width} by ${height} pixels`;
  const canvas = make("canvas", { id, width, height, class: drawn ? "drawn" : null,
    tabindex: drawn ? "0" : null, role: drawn ? "application" : "img",
    "aria-label": drawn ? `${what}; draw with the pointer, or move with the arrow keys and paint with space` : what });
  canvas.style.aspectRatio = `${width} / ${height}`;
  const context = canvas.getContext("2d");
  // `spot` is where the arrow keys are, while it is they that draw.
  let spot = null, filled = false;

  function show() {
    const image = context.createImageData(width, height);
    for (let i = 0; i < height * width; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * pixels[colours * i + (colours === 3 ? c : 0)];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    if (spot) {
      context.fillStyle = "rgba(255, 190, 60, 0.65)";
      context.fillRect(Math.floor(spot.x), Math.floor(spot.y), 1, 1);
    }
  }

  const radius = 0.5 + 0.045 * Math.max(height, width);
  function paint(x, y) {
    filled = true;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const off = Math.hypot(column + 0.5 - x, row + 0.5 - y);
        const ink = Math.min(1, Math.max(0, radius + 0.5 - off));
        const at = row * width + column;
        pixels[at] = Math.max(pixels[at], ink);
      }
    }
  }

  function changed() {
    show();
    canvas.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  }

  if (drawn) drawing(canvas, width, height, {
    stroke(from, to) {
      const steps = Math.ceil(4 * Math.hypot(to.x - from.x, to.y - from.y)) || 1;
      for (let i = 0; i <= steps; i++) paint(from.x + ((to.x - from.x) * i) / steps, from.y + ((to.y - from.y) * i) / steps);
      show();
    },
    ended: changed,
    moved(to) { spot = to; show(); },
  });

  async function load(file) {
    // As exporters and training do it: the whole picture, brought to this size.
    const bitmap = await createImageBitmap(file);
    const sheet = make("canvas", { width, height });
    const sheetContext = sheet.getContext("2d");
    sheetContext.imageSmoothingQuality = "high";
    sheetContext.drawImage(bitmap, 0, 0, width, height);
    const { data } = sheetContext.getImageData(0, 0, width, height);
    for (let i = 0; i < height * width; i++) {
      const [r, g, b] = [data[4 * i] / 255, data[4 * i + 1] / 255, data[4 * i + 2] / 255];
      if (colours === 3) pixels.set([r, g, b], 3 * i);
      else pixels[i] = 0.299 * r + 0.587 * g + 0.114 * b;
    }
    filled = true;
    changed();
  }

  const file = make("input", { id: `${id}-file`, type: "file", accept: "image/*" });
  file.addEventListener("change", () => {
    if (file.files.length) load(file.files[0]).catch(() => { file.value = ""; trouble(new Unfit("That file is no picture.", file)); });
  });
  const clear = make("button", { type: "button" }, "Clear");
  clear.addEventListener("click", () => { pixels.fill(0); filled = false; file.value = ""; show(); });
  const invert = make("button", { type: "button" }, "Swap light and dark");
  invert.addEventListener("click", () => { pixels.forEach((v, i) => { pixels[i] = 1 - v; }); filled = true; changed(); });
  const whole = WHOLE.test(spec.dtype);
  const scale = make("select", { id: `${id}-scale` }, ...Object.keys(SCALES).map((name) => make("option", {}, name)));
  if (whole) scale.value = "0 to 255";
  scale.addEventListener("change", () => { if (filled) changed(); });
  const tools = make("div", { class: "tools" },
    make("div", {}, make("label", { for: file.id }, "Picture file"), file),
    make("div", {}, make("label", { for: scale.id }, "Values from black to white"), scale),
    make("div", { class: "row" }, clear, invert));
  const hint = drawn ? "Draw here, light on dark, or take a file." : "Take a file; it is brought to this size.";
  const node = make("fieldset", { class: "field wide" }, make("legend", {}, spec.name),
    make("p", { class: "hint" }, hint), make("div", { class: "picture" }, canvas, tools));
  show();

  function pixel(at) {
    const values = Array.from(pixels.subarray(at * colours, at * colours + colours), SCALES[scale.value]);
    if (channels === 4) values.push(SCALES[scale.value](1));
    const written = values.map((v) => (whole ? BigInt(Math.round(v)) : Math.round(v * 1e5) / 1e5));
    return last === undefined ? written[0] : written;
  }
  return {
    node,
    read() {
      if (!filled) throw new Unfit(drawn ? "Draw something first, or take a file." : "Take a file first.", drawn ? canvas : file);
      return [Array.from({ length: height }, (_, row) =>
        Array.from({ length: width }, (_, column) => pixel(row * width + column)))];
    },
    fill() {},
    text: () => null,
  };
}

/** Pointer and keys on a canvas, as strokes in its pixels. */
function drawing(canvas, width, height, { stroke, ended, moved }) {
  let from = null, spot = { x: width / 2, y: height / 2 };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * width) / box.width, y: ((event.clientY - box.top) * height) / box.height };
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    moved(null);
    from = place(event);
    stroke(from, from);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = place(event);
    stroke(from, to);
    from = to;
  });
  const end = () => { if (from) { from = null; ended(); } };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " ") { moved(spot); stroke(spot, spot); ended(); }
    else if (ways[event.key]) {
      const [x, y] = ways[event.key];
      spot = { x: Math.min(width - 0.5, Math.max(0.5, Math.floor(spot.x + x) + 0.5)),
        y: Math.min(height - 0.5, Math.max(0.5, Math.floor(spot.y + y) + 0.5)) };
      moved(spot);
    } else return;
    event.preventDefault();
  });
  canvas.addEventListener("blur", () => moved(null));
}
