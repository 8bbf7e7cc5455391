// Networks four numbers at a time: a small WebAssembly program, put together here, in the single precision of the
// networks themselves. Where a browser has no such instructions, regressions.js does the same sums one by one.

// Instructions, by their names in the specification of WebAssembly.
const [GET, SET, I32_CONST, ADD, SUB, MUL, LESS] = [0x20, 0x21, 0x41, 0x6a, 0x6b, 0x6c, 0x49];
const [I32, V128, EMPTY] = [0x7f, 0x7b, 0x40];
const vector = (code) => [0xfd, ...unsigned(code)];
const [V_LOAD, V_SPLAT, V_STORE] = [0x00, 0x09, 0x0b].map(vector);
const [F_ADD, F_SUB, F_MUL, F_DIV, F_MIN, F_MAX, F_NEG, F_NEAREST] = [0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xe1, 0x6a].map(vector);
const [F_OF, I_TRUNCATE, I_ADD, I_SHIFT, I_OF] = [0x13, 0xf8, 0xae, 0xab, 0x11].map(vector);

function unsigned(value) {
  const bytes = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value);
  return bytes;
}

function signed(value) {
  const bytes = [];
  for (;;) {
    const byte = value & 0x7f;
    value >>= 7;
    const done = (value === 0 && !(byte & 0x40)) || (value === -1 && byte & 0x40);
    bytes.push(done ? byte : byte | 0x80);
    if (done) return bytes;
  }
}

const get = (local) => [GET, local];
const set = (local) => [SET, local];
const constant = (value) => [I32_CONST, ...signed(value)];
const plus = (local, ...amount) => [...get(local), ...amount, ADD, ...set(local)];
const load = (offset) => [...V_LOAD, 0, ...unsigned(offset)];
const splat = (offset) => [...V_SPLAT, 0, ...unsigned(offset)];
const store = (offset) => [...V_STORE, 0, ...unsigned(offset)];
const number = (value) => [0x43, ...new Uint8Array(new Float32Array([value]).buffer), ...F_OF];
/** Repeats the body while the condition, which it leaves behind, is not 0. */
const repeat = (...body) => [0x03, EMPTY, ...body.flat(), 0x0d, 0, 0x0b];
/** Does the body if the local is not 0. */
const unlessZero = (local, ...body) => [...get(local), 0x04, EMPTY, ...body.flat(), 0x0b];
const countDown = (local) => [...get(local), ...constant(1), SUB, 0x22, local];

/** dense(weights, biases, values, result, inputs, blocks of four outputs, blocks of eight values). */
function dense() {
  const [w, b, x, out, inputs, outBlocks, blocks, p, i, wp, xp, op, stride, x0, x1, weight] = Array.from({ length: 16 }, (_, k) => (k < 13 ? k : k + 8));
  const sums = [0, 1, 2, 3].map((k) => [13 + 2 * k, 14 + 2 * k]);
  const code = [
    [...get(blocks), ...constant(32), MUL, ...set(stride)],
    repeat(
      [...constant(0), ...set(p)],
      repeat(
        sums.flatMap(([first, second], k) => [...get(b), ...splat(4 * k), 0x22, first, ...set(second)]),
        [...get(w), ...set(wp), ...get(x), ...get(p), ...constant(32), MUL, ADD, ...set(xp), ...get(inputs), ...set(i)],
        repeat(
          [...get(xp), ...load(0), ...set(x0), ...get(xp), ...load(16), ...set(x1)],
          sums.flatMap(([first, second], k) => [
            ...[...get(wp), ...splat(4 * k), ...set(weight)],
            ...[...get(first), ...get(weight), ...get(x0), ...F_MUL, ...F_ADD, ...set(first)],
            ...[...get(second), ...get(weight), ...get(x1), ...F_MUL, ...F_ADD, ...set(second)],
          ]),
          [...plus(wp, ...constant(16)), ...plus(xp, ...get(stride)), ...countDown(i)],
        ),
        [...get(out), ...get(p), ...constant(32), MUL, ADD, ...set(op)],
        sums.flatMap(([first, second]) => [
          ...[...get(op), ...get(first), ...store(0), ...get(op), ...get(second), ...store(16)],
          ...plus(op, ...get(stride)),
        ]),
        [...plus(p, ...constant(1)), ...get(p), ...get(blocks), LESS],
      ),
      [...plus(w, ...get(inputs), ...constant(16), MUL), ...plus(b, ...constant(16))],
      [...plus(out, ...get(stride), ...constant(4), MUL), ...countDown(outBlocks)],
    ),
  ];
  return body([[6, I32], [11, V128]], code);
}

/** units(from, to, vectors of SiLU units, vectors of ReLU units): exp as in Cephes, to single precision. */
function units() {
  const [from, to, smooth, cornered, x, r, k, e] = [0, 1, 2, 3, 4, 5, 6, 7];
  const next = [...plus(from, ...constant(16)), ...plus(to, ...constant(16))];
  const horner = [1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1];
  const silu = [
    [...get(from), ...load(0), ...set(x)],
    [...get(x), ...F_NEG, ...number(-87), ...F_MAX, ...number(87), ...F_MIN, ...set(r)],
    [...get(r), ...number(Math.LOG2E), ...F_MUL, ...F_NEAREST, ...set(k)],
    [...get(r), ...get(k), ...number(0.693359375), ...F_MUL, ...F_SUB],
    [...get(k), ...number(-2.1219444e-4), ...F_MUL, ...F_SUB, ...set(r)],
    [...number(1.98756915e-4), ...horner.flatMap((term) => [...get(r), ...F_MUL, ...number(term), ...F_ADD])],
    [...get(r), ...F_MUL, ...get(r), ...F_MUL, ...get(r), ...F_ADD, ...number(1), ...F_ADD, ...set(e)],
    [...get(k), ...I_TRUNCATE, ...constant(127), ...I_OF, ...I_ADD, ...constant(23), ...I_SHIFT, ...get(e), ...F_MUL, ...set(e)],
    [...get(to), ...get(x), ...get(e), ...number(1), ...F_ADD, ...F_DIV, ...store(0)],
  ];
  const relu = [...get(to), ...get(from), ...load(0), ...number(0), ...F_MAX, ...store(0)];
  const code = [
    unlessZero(smooth, repeat(...silu, next, countDown(smooth))),
    unlessZero(cornered, repeat(relu, next, countDown(cornered))),
  ];
  return body([[4, V128]], code);
}

/** add(to, from, vectors). */
function add() {
  const [to, from, count] = [0, 1, 2];
  const sum = [...get(to), ...get(to), ...load(0), ...get(from), ...load(0), ...F_ADD, ...store(0)];
  return body([], [repeat(sum, plus(to, ...constant(16)), plus(from, ...constant(16)), countDown(count))]);
}

function body(locals, code) {
  const bytes = [locals.length, ...locals.flatMap(([count, type]) => [count, type]), ...code.flat(), 0x0b];
  return [...unsigned(bytes.length), ...bytes];
}

function assembled() {
  const section = (id, bytes) => [id, ...unsigned(bytes.length), ...bytes];
  const type = (count) => [0x60, count, ...Array(count).fill(I32), 0];
  const name = (text) => [text.length, ...[...text].map((c) => c.charCodeAt(0))];
  const functions = ["dense", "units", "add"];
  const exported = functions.flatMap((text, i) => [...name(text), 0, i]);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [3, ...type(7), ...type(4), ...type(3)]),
    ...section(3, [3, 0, 1, 2]),
    ...section(5, [1, 0, 1]),
    ...section(7, [4, ...exported, ...name("memory"), 2, 0]),
    ...section(10, [3, ...dense(), ...units(), ...add()]),
  ]);
}

/** Memory and programs; weights stay where they were put, what lies behind them is overwritten by every call. */
class Kernel {
  constructor() {
    this.run = new WebAssembly.Instance(new WebAssembly.Module(assembled())).exports;
    this.used = 16;
  }

  /** Makes room for some bytes behind the weights. */
  need(bytes) {
    const missing = this.used + bytes - this.run.memory.buffer.byteLength;
    if (missing > 0) this.run.memory.grow(Math.ceil(missing / 65536));
    return this.used;
  }

  keep(values) {
    const at = this.need(4 * values.length);
    new Float32Array(this.run.memory.buffer, at, values.length).set(values);
    this.used += 16 * Math.ceil(values.length / 4);
    return at;
  }

  /** A layer in memory: weights of four outputs side by side, for as many fours as there are. */
  layer({ weight, bias, inSize, outSize }) {
    const blocks = Math.ceil(outSize / 4);
    const packed = new Float32Array(blocks * inSize * 4);
    for (let o = 0; o < outSize; o++) {
      for (let i = 0; i < inSize; i++) packed[((o >> 2) * inSize + i) * 4 + (o & 3)] = weight[o * inSize + i];
    }
    const padded = new Float32Array(4 * blocks);
    padded.set(bias);
    return { weights: this.keep(packed), biases: this.keep(padded), inSize, outSize, blocks };
  }

  /** Outputs of n values of a network whose layers are in memory; both stand feature by feature. */
  network({ first, blocks, last, smooth }, values, n) {
    const eights = Math.ceil(n / 8);
    const width = 8 * eights;
    const most = 4 * Math.max(first.blocks, last.blocks, ...blocks.flat().map((layer) => layer.blocks));
    const size = 4 * width * Math.max(most, first.inSize);
    const start = this.need(4 * size);
    const [input, hidden, between, added] = [0, 1, 2, 3].map((k) => start + k * size);
    const memory = new Float32Array(this.run.memory.buffer);
    for (let i = 0; i < first.inSize; i++) memory.set(values.subarray(i * n, (i + 1) * n), input / 4 + i * width);
    const dense = (layer, from, to) =>
      this.run.dense(layer.weights, layer.biases, from, to, layer.inSize, layer.blocks, eights);
    const vectors = (units) => (units * width) / 4;
    const bend = (from, to) => this.run.units(from, to, vectors(smooth), vectors(first.outSize - smooth));
    dense(first, input, hidden);
    for (const [inner, outer] of blocks) {
      bend(hidden, between);
      dense(inner, between, added);
      bend(added, between);
      dense(outer, between, added);
      this.run.add(hidden, added, vectors(first.outSize));
    }
    bend(hidden, between);
    dense(last, between, added);
    const result = new Float64Array(last.outSize * n);
    for (let o = 0; o < last.outSize; o++) {
      const from = added / 4 + o * width;
      result.set(memory.subarray(from, from + n), o * n);
    }
    return result;
  }
}

function madeIfPossible() {
  try {
    return new Kernel();
  } catch {
    return null;
  }
}

export const kernel = { now: madeIfPossible() };
