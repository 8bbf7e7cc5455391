// Pictures on canvases: distributions, pairs of parameters, the observation with what is predicted of it.
import { Kept, column, densities, densitiesOf } from "./columns.js";
import { quantilesOfSorted } from "./numbers.js";

// Points of one kind in a picture of two parameters.
const MOST_POINTS = 500;

function corners(pen, x, y, places) {
  places.forEach(([right, down], i) => pen[i ? "lineTo" : "moveTo"](x + right, y + down));
  pen.closePath();
}

/** Marks of the series of an observation, told apart by their form: the sign that stands for it, and its outline. */
export const SHAPES = [
  { sign: "●", outline: (pen, x, y, r) => pen.arc(x, y, r, 0, 2 * Math.PI) },
  { sign: "■", outline: (pen, x, y, r) => pen.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r) },
  { sign: "▲", outline: (pen, x, y, r) => corners(pen, x, y, [[0, -1.2 * r], [1.1 * r, 0.8 * r], [-1.1 * r, 0.8 * r]]) },
  { sign: "◆", outline: (pen, x, y, r) => corners(pen, x, y, [[0, -1.3 * r], [1.1 * r, 0], [0, 1.3 * r], [-1.1 * r, 0]]) },
];

/** Colours of the page, light or dark. */
export function colours(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    text: read("--text"),
    muted: read("--muted"),
    line: read("--line"),
    card: read("--card"),
    now: read("--now"),
    report: read("--report"),
    prior: read("--prior"),
    accent: read("--accent"),
  };
}

/** A canvas ready to be drawn on, in CSS pixels. */
export function prepared(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  return pen;
}

/** Four digits at most, as the report's tables. */
export function shown(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const text = Number(value.toPrecision(digits));
  return Math.abs(text) >= 1e7 || (text !== 0 && Math.abs(text) < 1e-3) ? text.toExponential() : String(text);
}

/** Round numbers between two ends, two at least, each with a text of all its digits. */
export function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const sizes = [10, 5, 2, 1, 0.5].map((factor) => factor * power);
  const between = (size) => Math.floor(high / size + 1e-9) - Math.ceil(low / size) + 1;
  // The smallest one that is large enough, or the first below it that has room twice.
  let at = sizes.findLastIndex((size) => size >= 0.7 * rough);
  while (at + 1 < sizes.length && between(sizes[at]) < 2) at++;
  const step = sizes[at];
  const result = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9 * step; k++) {
    const value = k * step;
    // As many digits as tell it from its neighbours.
    const digits = Math.max(1, Math.floor(Math.log10(Math.max(Math.abs(value), step) / step) + 1e-9) + 2);
    result.push({ value, text: shown(value, Math.min(digits, 15)) });
  }
  return result;
}

function outline(pen, counts, box, top) {
  const step = box.width / counts.length;
  pen.beginPath();
  pen.moveTo(box.x, box.y + box.height);
  counts.forEach((count, i) => pen.lineTo(box.x + (i + 0.5) * step, box.y + box.height * (1 - count / top)));
  pen.lineTo(box.x + box.width, box.y + box.height);
}

/** Prior (grey area), the report's posterior (dashed) and that of now (filled), one above the other. */
export function drawDistribution(pen, paint, box, window, { prior, shares, report, now }, integer, kept = new Kept()) {
  const bins = integer ? Math.min(60, Math.max(1, Math.round(window[1] - window[0]))) : 48;
  const of = (values) => densities(values, window, bins, !integer);
  const ofPrior = () => (shares ? densitiesOf(shares, window, bins) : of(prior));
  const each = [prior && kept.of("prior", window, ofPrior), kept.of("report", window, () => of(report)), of(now)];
  const top = Math.max(...each.slice(1).flatMap((counts) => (counts ? Array.from(counts) : [])), 1e-9) * 1.08;
  const [before, told, moved] = each;
  if (before) {
    // The prior's area in a narrow window would be flat: it is drawn as high as it fits.
    outline(pen, before, box, Math.max(top, ...before));
    pen.fillStyle = paint.prior;
    pen.globalAlpha = 0.3;
    pen.fill();
  }
  outline(pen, moved, box, top);
  pen.globalAlpha = 0.35;
  pen.fillStyle = paint.now;
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = paint.now;
  pen.lineWidth = 1.5;
  pen.stroke();
  if (told) {
    outline(pen, told, box, top);
    pen.strokeStyle = paint.report;
    pen.setLineDash([4, 3]);
    pen.stroke();
    pen.setLineDash([]);
  }
}

function axis(pen, paint, box, window, label, atBottom) {
  pen.fillStyle = paint.muted;
  pen.strokeStyle = paint.line;
  pen.lineWidth = 1;
  const ends = ticks(window[0], window[1], atBottom ? Math.max(2, box.width / 60) : Math.max(3, box.height / 45));
  for (const { value, text } of ends) {
    const share = (value - window[0]) / (window[1] - window[0]);
    pen.beginPath();
    if (atBottom) {
      const x = box.x + share * box.width;
      pen.moveTo(x, box.y + box.height);
      pen.lineTo(x, box.y + box.height + 4);
      pen.stroke();
      pen.textAlign = "center";
      pen.fillText(text, Math.min(Math.max(x, box.x + 10), box.x + box.width - 8), box.y + box.height + 16);
    } else {
      const y = box.y + (1 - share) * box.height;
      pen.moveTo(box.x - 4, y);
      pen.lineTo(box.x, y);
      pen.stroke();
      pen.textAlign = "right";
      pen.fillText(text, box.x - 6, y + 4);
    }
  }
  pen.fillStyle = paint.text;
  if (atBottom && label) {
    pen.textAlign = "center";
    pen.fillText(label, box.x + box.width / 2, box.y + box.height + 32, box.width);
  }
}

function frame(pen, paint, box) {
  pen.strokeStyle = paint.line;
  pen.lineWidth = 1;
  pen.strokeRect(box.x + 0.5, box.y + 0.5, box.width - 1, box.height - 1);
}

/** What lies below a picture and stays as it is, until something that it is made of has changed. */
function stillLayer(canvas, madeOf, draw) {
  const key = madeOf.join();
  if (canvas.still?.key !== key) {
    const image = document.createElement("canvas");
    [image.width, image.height] = [canvas.width, canvas.height];
    const pen = image.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw(pen);
    canvas.still = { key, image };
  }
  return canvas.still.image;
}

function points(pen, box, windows, all, dim, [i, j], colour, alpha, spread) {
  const rows = all.subarray(0, Math.min(all.length, MOST_POINTS * dim));
  pen.save();
  pen.beginPath();
  pen.rect(box.x, box.y, box.width, box.height);
  pen.clip();
  pen.fillStyle = colour;
  pen.globalAlpha = alpha;
  for (let row = 0; row < rows.length; row += dim) {
    const x = box.x + ((rows[row + j] + spread(row, j) - windows[j][0]) / (windows[j][1] - windows[j][0])) * box.width;
    const y = box.y + (1 - (rows[row + i] + spread(row, i) - windows[i][0]) / (windows[i][1] - windows[i][0])) * box.height;
    pen.fillRect(x - 1, y - 1, 2, 2);
  }
  pen.restore();
}

/** All pairs of the parameters that are shown, their distributions on the diagonal. */
export function drawPairs(canvas, width, paint, { names, integers, chosen, windows, still, report, now }) {
  const dim = names.length;
  const k = chosen.length;
  const [left, bottom, gap] = [52, 40, 6];
  const cell = Math.max(40, (width - left - 8 - gap * (k - 1)) / k);
  const rowHeight = Math.min(cell, k === 1 ? 200 : cell);
  const height = k * rowHeight + (k - 1) * gap + bottom + 8;
  const pen = prepared(canvas, width, height);
  // Whole numbers are scattered over their step, so that their draws do not hide each other.
  const spread = (row, j) => (integers[j] ? ((row * 0.61803398875) % 1) - 0.5 : 0);
  const boxOf = (at, from) => ({ x: left + from * (cell + gap), y: 8 + at * (rowHeight + gap), width: cell, height: rowHeight });
  const layer = stillLayer(canvas, [canvas.width, width, paint.report, ...chosen, ...chosen.flatMap((j) => windows[j])], (below) => {
    chosen.forEach((i, at) =>
      chosen.slice(0, at).forEach((j, from) => points(below, boxOf(at, from), windows, report, dim, [i, j], paint.report, 0.25, spread)),
    );
  });
  pen.drawImage(layer, 0, 0, width, height);
  chosen.forEach((i, at) => {
    chosen.slice(0, at + 1).forEach((j, from) => {
      const box = boxOf(at, from);
      if (i === j) {
        const parts = { prior: still[i].prior, shares: still[i].shares, report: still[i].report, now: column(now, dim, i) };
        drawDistribution(pen, paint, box, windows[i], parts, integers[i], still[i].kept);
      } else {
        points(pen, box, windows, now, dim, [i, j], paint.now, 0.4, spread);
      }
      frame(pen, paint, box);
      if (at === k - 1) axis(pen, paint, box, windows[j], names[j], true);
      if (from === 0 && at > 0) {
        axis(pen, paint, box, windows[i], null, false);
        pen.save();
        pen.translate(12, box.y + box.height / 2);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "center";
        pen.fillStyle = paint.text;
        pen.fillText(names[i], 0, 0, box.height);
        pen.restore();
      }
    });
  });
}

/** A window that holds the middle of all draws, wider than they are and no wider than the prior: given are the ends of each. */
export function windowOf(ends, [least, most], integer, before) {
  let [low, high] = [Infinity, -Infinity];
  for (const [a, b] of ends) [low, high] = [Math.min(low, a), Math.max(high, b)];
  if (before && low >= before[0] && high <= before[1]) return before;
  const room = 0.5 * (high - low) || 0.05 * (most - least) || 1;
  [low, high] = [Math.max(low - room, Math.min(least, low)), Math.min(high + room, Math.max(most, high))];
  if (before) [low, high] = [Math.min(low, before[0]), Math.max(high, before[1])];
  return integer ? [Math.floor(low) - 0.5, Math.ceil(high) + 0.5] : [low, high];
}

/** The places of the observation's values on a canvas. */
export class ObservationScale {
  constructor(width, height, axisValues, window) {
    this.box = { x: 52, y: 10, width: width - 64, height: height - 50 };
    this.window = window;
    const [first, last] = [Math.min(...axisValues), Math.max(...axisValues)];
    const room = (last - first) * 0.03 || 1;
    this.across = [first - room, last + room];
  }

  x(value) {
    return this.box.x + ((value - this.across[0]) / (this.across[1] - this.across[0])) * this.box.width;
  }

  y(value) {
    return this.box.y + (1 - (value - this.window[0]) / (this.window[1] - this.window[0])) * this.box.height;
  }

  valueAt(y) {
    return this.window[0] + (1 - (y - this.box.y) / this.box.height) * (this.window[1] - this.window[0]);
  }
}

/** The observation: what is predicted of it, what the report observed, and what is asked for now. */
export function drawObservation(canvas, paint, scale, width, height, given) {
  const { points: marks, channels, label, yLabel, selected } = given;
  const pen = prepared(canvas, width, height);
  const { box } = scale;
  frame(pen, paint, box);
  axis(pen, paint, box, scale.across, label, true);
  axis(pen, paint, box, scale.window, null, false);
  pen.save();
  pen.translate(12, box.y + box.height / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillStyle = paint.text;
  pen.fillText(yLabel, 0, 0, box.height);
  pen.restore();
  pen.save();
  pen.beginPath();
  pen.rect(box.x, box.y, box.width, box.height);
  pen.clip();
  for (let c = 0; c < channels; c++) {
    const line = marks.filter((mark) => mark.channel === c);
    for (const [name, alpha] of [["outputs", 0.16], ["centre", 0.38]]) fillBand(pen, paint, scale, line, name, alpha, channels);
    drawLine(pen, scale, line, "original", paint.report, [4, 3]);
    drawLine(pen, scale, line, "value", paint.text, []);
  }
  for (const mark of marks) drawMark(pen, paint, scale, mark, marks.length > 120, mark.j === selected);
  pen.restore();
}

function fillBand(pen, paint, scale, line, name, alpha, channels) {
  const known = line.filter((mark) => mark[name] && Number.isFinite(mark[name][0]));
  if (!known.length) return;
  pen.globalAlpha = alpha;
  pen.fillStyle = paint.now;
  if (known.length < 25 && channels === 1) {
    // Few values are bars, each at its own place.
    const half = Math.min(9, (0.35 * scale.box.width) / known.length);
    for (const mark of known) {
      const [low, , high] = mark[name].map((value) => scale.y(value));
      pen.fillRect(scale.x(mark.at) - half, high, 2 * half, Math.max(low - high, 1));
    }
  } else {
    pen.beginPath();
    known.forEach((mark, i) => pen[i ? "lineTo" : "moveTo"](scale.x(mark.at), scale.y(mark[name][2])));
    for (const mark of [...known].reverse()) pen.lineTo(scale.x(mark.at), scale.y(mark[name][0]));
    pen.fill();
  }
  pen.globalAlpha = 1;
}

function drawLine(pen, scale, line, name, colour, dash) {
  pen.strokeStyle = colour;
  pen.setLineDash(dash);
  pen.lineWidth = 1;
  pen.globalAlpha = 0.6;
  pen.beginPath();
  let open = false;
  for (const mark of line) {
    if (!Number.isFinite(mark[name]) || (name === "value" && mark.off)) {
      open = false;
      continue;
    }
    pen[open ? "lineTo" : "moveTo"](scale.x(mark.at), scale.y(mark[name]));
    open = true;
  }
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

function drawMark(pen, paint, scale, mark, many, isSelected) {
  if (!Number.isFinite(mark.value)) return;
  const [x, y] = [scale.x(mark.at), Math.min(Math.max(scale.y(mark.value), scale.box.y + 4), scale.box.y + scale.box.height - 4)];
  pen.strokeStyle = mark.outside ? paint.accent : paint.text;
  pen.fillStyle = mark.off ? paint.card : mark.outside ? paint.accent : paint.text;
  pen.lineWidth = 1.5;
  pen.beginPath();
  SHAPES[mark.channel % SHAPES.length].outline(pen, x, y, many ? 2 : 4 * Math.min(Math.max(Math.sqrt(mark.weight), 0.6), 1.6));
  pen.fill();
  if (!many || mark.off) pen.stroke();
  if (!isSelected) return;
  pen.strokeStyle = paint.now;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(x, y, 9, 0, 2 * Math.PI);
  pen.stroke();
}

/** The distribution of the cost over the draws, of now and of the report. */
export function drawCosts(canvas, width, paint, now, report, units) {
  const height = 130;
  const pen = prepared(canvas, width, height);
  const all = [now, report].map((values) => Float64Array.from(values).sort());
  const low = Math.min(...all.map((values) => values[0]));
  const high = Math.max(...all.map((values) => quantilesOfSorted(values, [0.99])[0]));
  const window = [low - 0.02 * (high - low), high + 0.05 * (high - low) + 1e-30];
  const box = { x: 20, y: 8, width: width - 40, height: height - 50 };
  drawDistribution(pen, paint, box, window, { prior: null, report, now }, false);
  frame(pen, paint, box);
  axis(pen, paint, box, window, `cost, in ${units}`, true);
}
