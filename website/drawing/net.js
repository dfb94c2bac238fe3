// Runs an exported net on images of 28 by 28 pixels, and brings a drawing to the form that MNIST's images have.
"use strict";

const SIDE = 28;

/** Return a net ready to run: its parts with the weights of each layer. */
function load(exported, mean, sd) {
  const bytes = decode(exported.weights);
  const weights = new Float32Array(bytes.buffer, 0, bytes.length / 4);
  const take = (from, n) => weights.subarray(from, from + n);
  const filled = (layers) => layers.map((layer) => {
    if (layer.kind === "scale") return { ...layer, scale: take(layer.at, layer.n), shift: take(layer.at + layer.n, layer.n) };
    if (layer.kind !== "conv" && layer.kind !== "linear") return layer;
    const n = layer.kind === "linear" ? layer.out * layer.in : (layer.out * layer.in / layer.groups) * layer.side * layer.side;
    return { ...layer, kernels: take(layer.at, n), shift: layer.bias === false ? null : take(layer.at + n, layer.out) };
  });
  return { parts: exported.parts.map(filled), mean, sd };
}

/** Return the bytes of a base64 text. */
function decode(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Return logits, probabilities, and the maps after each part, for pixels from 0 to 255. */
function run(net, pixels) {
  let maps = { n: 1, side: SIDE, values: Float32Array.from(pixels, (pixel) => (pixel - 255 * net.mean) / (255 * net.sd)) };
  const shown = [];
  for (const part of net.parts) {
    maps = part.reduce(apply, maps);
    if (maps.side > 1) shown.push(maps);
  }
  const logits = Array.from(maps.values);
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return { logits, probabilities: powers.map((power) => power / sum), maps: shown };
}

function apply(maps, layer) {
  switch (layer.kind) {
    case "conv": return conv(maps, layer);
    case "pool": return pool(maps, layer.side);
    case "linear": return linear(maps, layer);
    case "relu": return relu(maps);
    case "flatten": return { n: maps.values.length, side: 1, values: maps.values };
    case "average": return average(maps);
    case "scale": return scale(maps, layer);
    default: throw new Error(`There is no layer ${layer.kind}.`);
  }
}

function conv(maps, layer) {
  const { side, padding, stride, groups } = layer;
  const wide = maps.side + 2 * padding;
  const to = Math.floor((wide - side) / stride) + 1;
  const [inside, outside] = [layer.in / groups, layer.out / groups];
  const framed = padding ? frame(maps, padding) : maps.values;
  const values = new Float32Array(layer.out * to * to);
  const sums = new Float64Array(to * to);
  const [rows, columns] = to === wide ? [1, to * to] : [to, to]; // a kernel of one pixel runs along all rows as if they were one
  const n = inside * side * side; // weights of an output; four are taken at a time, for speed
  const weights = new Float64Array(n + 3);
  const starts = new Int32Array(n + 3);
  for (let k = 0; k < n; k++) starts[k] = (Math.floor(k / side / side) * wide + Math.floor(k / side) % side) * wide + k % side;
  for (let o = 0; o < layer.out; o++) {
    sums.fill(layer.shift ? layer.shift[o] : 0);
    weights.set(layer.kernels.subarray(o * n, (o + 1) * n));
    const base = Math.floor(o / outside) * inside * wide * wide;
    for (let k = 0; k < n; k += 4) {
      const [a, b, c, d] = [weights[k], weights[k + 1], weights[k + 2], weights[k + 3]];
      const [p, q, r, s] = [starts[k], starts[k + 1], starts[k + 2], starts[k + 3]];
      for (let y = 0; y < rows; y++) {
        let from = base + y * stride * wide;
        for (let at = y * columns; at < (y + 1) * columns; at++, from += stride) {
          sums[at] += a * framed[p + from] + b * framed[q + from] + c * framed[r + from] + d * framed[s + from];
        }
      }
    }
    values.set(sums, o * to * to);
  }
  return { n: layer.out, side: to, values };
}

function frame(maps, padding) {
  const wide = maps.side + 2 * padding;
  const framed = new Float32Array(maps.n * wide * wide);
  for (let i = 0; i < maps.n; i++) {
    for (let y = 0; y < maps.side; y++) {
      const line = maps.values.subarray((i * maps.side + y) * maps.side, (i * maps.side + y + 1) * maps.side);
      framed.set(line, (i * wide + y + padding) * wide + padding);
    }
  }
  return framed;
}

function pool(maps, side) {
  const to = Math.floor(maps.side / side);
  const values = new Float32Array(maps.n * to * to).fill(-Infinity);
  for (let i = 0; i < maps.n; i++) {
    for (let y = 0; y < to * side; y++) {
      for (let x = 0; x < to * side; x++) {
        const at = (i * to + Math.floor(y / side)) * to + Math.floor(x / side);
        values[at] = Math.max(values[at], maps.values[(i * maps.side + y) * maps.side + x]);
      }
    }
  }
  return { n: maps.n, side: to, values };
}

function relu(maps) {
  const values = new Float32Array(maps.values.length);
  for (let k = 0; k < values.length; k++) values[k] = Math.max(0, maps.values[k]);
  return { ...maps, values };
}

function scale(maps, layer) {
  const area = maps.side * maps.side;
  const values = new Float32Array(maps.values.length);
  for (let i = 0; i < maps.n; i++) {
    for (let k = i * area; k < (i + 1) * area; k++) values[k] = maps.values[k] * layer.scale[i] + layer.shift[i];
  }
  return { ...maps, values };
}

function average(maps) {
  const area = maps.side * maps.side;
  const values = new Float32Array(maps.n);
  for (let i = 0; i < maps.n; i++) {
    let sum = 0;
    for (let k = i * area; k < (i + 1) * area; k++) sum += maps.values[k];
    values[i] = sum / area;
  }
  return { n: maps.n, side: 1, values };
}

function linear(maps, layer) {
  const values = new Float32Array(layer.out);
  for (let o = 0; o < layer.out; o++) {
    let sum = layer.shift[o];
    for (let i = 0; i < layer.in; i++) sum += layer.kernels[o * layer.in + i] * maps.values[i];
    values[o] = sum;
  }
  return { n: layer.out, side: 1, values };
}

/** Return how much less probable a digit becomes where a square hides the image, at one place of a grid of `cells` by `cells`. */
function occlusion(net, pixels, digit, probability, place, cells = 14, patch = 6) {
  const [top, left] = [Math.floor(place / cells), place % cells].map((at) => Math.round(((at + 0.5) * SIDE) / cells - patch / 2));
  const hidden = Uint8ClampedArray.from(pixels);
  let ink = 0;
  for (let y = Math.max(0, top); y < Math.min(SIDE, top + patch); y++) {
    for (let x = Math.max(0, left); x < Math.min(SIDE, left + patch); x++) {
      ink += hidden[y * SIDE + x];
      hidden[y * SIDE + x] = 0;
    }
  }
  return ink ? Math.max(0, probability - run(net, hidden).probabilities[digit]) : 0;
}

/**
 * Return a drawing as MNIST would show it, pixels from 0 to 255, or null where nothing is drawn.
 *
 * Strokes are lists of points on a square paper. The drawing is scaled into a box of 20 by 20 pixels and placed with its centre of mass in the
 * middle; the pen is always as broad as MNIST's, however small the drawing.
 */
function prepare(strokes, paper = 280, box = 20, pen = 2.4) {
  const points = strokes.flat();
  if (!points.length) return null;
  const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  // A drawing smaller than a tenth of the paper is not blown up to the whole box: a dot stays a dot.
  const size = (box - pen) / Math.max(right - left, bottom - top, paper / 10);
  const middle = SIDE / 2;
  const at = (shift) => (point) =>
    [(point[0] - (left + right) / 2) * size + middle + shift[0], (point[1] - (top + bottom) / 2) * size + middle + shift[1]];
  const first = ink(strokes.map((stroke) => stroke.map(at([0, 0]))), pen);
  let [mass, x, y] = [0, 0, 0];
  first.forEach((value, k) => { mass += value; x += value * (k % SIDE + 0.5); y += value * (Math.floor(k / SIDE) + 0.5); });
  const shift = [x, y].map((sum) => Math.max(-4, Math.min(4, middle + 0.5 - sum / mass))); // the box stays inside the image
  return ink(strokes.map((stroke) => stroke.map(at(shift))), pen);
}

/** Return strokes, in pixels of the image, drawn with a round pen whose edge is as soft as MNIST's. */
function ink(strokes, pen) {
  const pixels = new Uint8ClampedArray(SIDE * SIDE);
  for (const stroke of strokes) {
    for (let k = 0; k < stroke.length; k++) {
      const [ax, ay] = stroke[Math.max(0, k - 1)];
      const [bx, by] = stroke[k];
      const [dx, dy] = [bx - ax, by - ay];
      const length = dx * dx + dy * dy;
      const reach = pen / 2 + 1;
      const [firstX, lastX] = [Math.max(0, Math.floor(Math.min(ax, bx) - reach)), Math.min(SIDE - 1, Math.ceil(Math.max(ax, bx) + reach))];
      const [firstY, lastY] = [Math.max(0, Math.floor(Math.min(ay, by) - reach)), Math.min(SIDE - 1, Math.ceil(Math.max(ay, by) + reach))];
      for (let y = firstY; y <= lastY; y++) {
        for (let x = firstX; x <= lastX; x++) {
          const along = length ? Math.max(0, Math.min(1, ((x + 0.5 - ax) * dx + (y + 0.5 - ay) * dy) / length)) : 0;
          const distance = Math.hypot(x + 0.5 - ax - along * dx, y + 0.5 - ay - along * dy);
          const value = 255 * Math.max(0, Math.min(1, pen / 2 + 0.5 - distance));
          if (value > pixels[y * SIDE + x]) pixels[y * SIDE + x] = value;
        }
      }
    }
  }
  return pixels;
}
