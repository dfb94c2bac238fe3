// The page: strokes and test images in, probabilities, maps and the places on which a prediction rests out.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const nets = data.nets.map((each) => load(each, data.mean, data.sd));
const samples = decode(data.samples.pixels);
const paper = document.getElementById("paper");
const small = document.getElementById("small");
const said = document.getElementById("said");
const WIDE = 280; // units along a side of the paper, whatever its size on the screen
const STEP = 10; // units that an arrow key moves the pen
const NOTHING = "Draw a digit, or choose a test image.";

let strokes = []; // each a list of points [x, y] in units of the paper
let drawing = null; // the stroke of the pointer that is down
let pen = { x: WIDE / 2, y: WIDE / 2, down: false, shown: false }; // moved by the arrow keys
let sample = null; // the test image that was chosen
let chosen = data.nets.length - 1; // the net whose inside is shown
let waiting = 0; // the timer of what takes longer
let speaking = 0; // the timer of what is read aloud
let asked = 0; // the request for the next picture

function pixelsNow() {
  return sample === null ? prepare(strokes, WIDE) : samples.subarray(sample * SIDE * SIDE, (sample + 1) * SIDE * SIDE);
}

/** Show everything anew before the next picture of the screen, however many events come until then. */
function update() {
  asked ||= requestAnimationFrame(show);
}

function show() {
  asked = 0;
  const pixels = pixelsNow();
  showImage(small, pixels ?? new Uint8Array(SIDE * SIDE));
  showPaper(); // a test image comes from the small one
  const results = pixels && nets.map((net) => run(net, pixels));
  data.nets.forEach((net, k) => {
    const row = document.getElementById(`net-${k}`);
    const digit = results ? best(results[k].probabilities) : null;
    row.querySelector(".digit").textContent = results ? digit : "–";
    row.querySelector(".sure").textContent = results ? percent(results[k].probabilities[digit]) : "";
    row.classList.toggle("wrong", Boolean(results) && sample !== null && digit !== data.samples.labels[sample]);
  });
  showBars(results && results[chosen].probabilities);
  showMaps(results && results[chosen].maps);
  showPlaces(pixels);
  say(results);
}

function best(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}

function percent(value) {
  return value > 0.9995 && value < 1 ? "> 99.9%" : `${(100 * value).toFixed(1)}%`;
}

/** Say in words what the nets see, once the reader pauses, for a screen reader reads all of it aloud. */
function say(results) {
  clearTimeout(speaking);
  const words = results ? sentence(results) : NOTHING;
  if (words !== said.textContent) speaking = setTimeout(() => { said.textContent = words; }, results ? 300 : 0);
}

/** Return a digit with its article. */
function a(digit) {
  return `${digit === 8 ? "an" : "a"} ${digit}`;
}

function sentence(results) {
  const digits = results.map((result) => best(result.probabilities));
  const same = digits.every((digit) => digit === digits[0]);
  const label = sample === null ? "" : ` Its label says ${data.samples.labels[sample]}.`;
  const read = same
    ? `All nets see ${a(digits[0])}.`
    : `The nets disagree: ${data.nets.map((net, k) => `${net.title} sees ${a(digits[k])}`).join(", ")}.`;
  return `${read}${label}`;
}

function showBars(probabilities) {
  for (let digit = 0; digit < 10; digit++) {
    const bar = document.getElementById(`bar-${digit}`);
    const value = probabilities ? probabilities[digit] : 0;
    bar.querySelector("i").style.width = `${100 * value}%`;
    bar.querySelector(".sure").textContent = probabilities ? percent(value) : "";
    bar.classList.toggle("best", Boolean(probabilities) && digit === best(probabilities));
  }
}

function showMaps(maps) {
  const place = document.getElementById("maps");
  const shown = maps ?? [];
  while (place.children.length > shown.length) place.lastChild.remove();
  shown.forEach((part, k) => {
    if (!place.children[k]) place.append(Object.assign(document.createElement("figure"), { innerHTML: "<canvas></canvas><figcaption></figcaption>" }));
    const [canvas, caption] = place.children[k].children;
    const across = Math.min(part.n, 9);
    const down = Math.ceil(part.n / across);
    const gap = 1;
    canvas.width = across * (part.side + gap) - gap;
    canvas.height = down * (part.side + gap) - gap;
    const image = canvas.getContext("2d").createImageData(canvas.width, canvas.height);
    const most = part.values.reduce((a, b) => Math.max(a, b), 1e-9);
    for (let i = 0; i < part.n; i++) {
      for (let y = 0; y < part.side; y++) {
        for (let x = 0; x < part.side; x++) {
          const value = (255 * Math.max(0, part.values[(i * part.side + y) * part.side + x])) / most;
          const at = (Math.floor(i / across) * (part.side + gap) + y) * canvas.width + (i % across) * (part.side + gap) + x;
          image.data.set([value, value, value, 255], 4 * at);
        }
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    caption.textContent = `Layer ${k + 1}: ${part.n} maps of ${part.side}×${part.side}`;
  });
  document.getElementById("no-maps").hidden = !maps || shown.length > 0;
}

/** Show on which places the prediction rests, a moment after the last change: it takes many passes, and a pen that moves again ends them. */
function showPlaces(pixels) {
  clearTimeout(waiting);
  const canvas = document.getElementById("places");
  if (!pixels) {
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    document.getElementById("places-note").textContent = "";
    return;
  }
  const cells = canvas.width;
  const lost = new Float32Array(cells * cells);
  const slice = (net, digit, probability, from) => {
    for (let k = from; k < from + cells; k++) lost[k] = occlusion(net, pixels, digit, probability, k, cells);
    if (from + cells < lost.length) waiting = setTimeout(slice, 0, net, digit, probability, from + cells);
    else showLost(canvas, pixels, lost, digit);
  };
  waiting = setTimeout(() => {
    const { probabilities } = run(nets[chosen], pixels);
    slice(nets[chosen], best(probabilities), Math.max(...probabilities), 0);
  }, 150);
}

function showLost(canvas, pixels, lost, digit) {
  const cells = canvas.width;
  const image = canvas.getContext("2d").createImageData(cells, cells);
  lost.forEach((value, k) => {
    const under = pixels[(2 * Math.floor(k / cells) + 1) * SIDE + 2 * (k % cells) + 1] * 0.45;
    image.data.set([under + 200 * value, under + 90 * value, under * (1 - value), 255], 4 * k);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  const most = lost.reduce((a, b) => Math.max(a, b), 0);
  const label = sample === null ? digit : data.samples.labels[sample];
  document.getElementById("places-note").textContent =
    (digit === label ? "" : `It sees ${a(digit)}, the label says ${label}. `) +
    (most < 0.05
      ? `No single place decides: whichever is hidden, the ${digit} stays about as probable.`
      : `Without the brightest place, the probability of the ${digit} falls by ${(100 * most).toFixed(1)} points.`);
}

function showImage(canvas, pixels) {
  const image = canvas.getContext("2d").createImageData(SIDE, SIDE);
  pixels.forEach((value, k) => image.data.set([value, value, value, 255], 4 * k));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showPaper() {
  const context = paper.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, WIDE, WIDE);
  context.strokeStyle = context.fillStyle = "#fff";
  context.lineWidth = 20;
  context.lineCap = context.lineJoin = "round";
  if (sample !== null) {
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, WIDE, WIDE);
  }
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    for (const point of stroke.length > 1 ? stroke.slice(1) : [stroke[0]]) context.lineTo(...point);
    context.stroke();
  }
  if (pen.shown) {
    context.beginPath();
    context.arc(pen.x, pen.y, pen.down ? 10 : 7, 0, 2 * Math.PI);
    context.strokeStyle = "#f2975e";
    context.lineWidth = 3;
    context.stroke();
  }
}

/** Return where a pointer is on the paper; outside, the nearest place on its edge. */
function place(event) {
  const box = paper.getBoundingClientRect();
  const along = (at, from, size) => Math.max(0, Math.min(WIDE, ((at - from) / size) * WIDE));
  return [along(event.clientX, box.left, box.width), along(event.clientY, box.top, box.height)];
}

function begin(point) {
  if (sample !== null) choose(null);
  strokes.push([point]);
  return strokes[strokes.length - 1];
}

paper.addEventListener("pointerdown", (event) => {
  if (drawing || event.button > 0) return;
  event.preventDefault();
  paper.focus({ preventScroll: true });
  pen.shown = pen.down = false;
  try { paper.setPointerCapture(event.pointerId); } catch { /* the pointer is gone already */ }
  drawing = { id: event.pointerId, stroke: begin(place(event)) };
  update();
});
paper.addEventListener("pointermove", (event) => {
  if (!drawing || event.pointerId !== drawing.id) return;
  const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const each of all.length ? all : [event]) drawing.stroke.push(place(each));
  update();
});
for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
  paper.addEventListener(name, (event) => {
    if (drawing && event.pointerId === drawing.id) drawing = null;
  });
}

paper.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in moves) {
    pen = { ...pen, shown: true };
    pen.x = Math.max(0, Math.min(WIDE, pen.x + STEP * moves[event.key][0]));
    pen.y = Math.max(0, Math.min(WIDE, pen.y + STEP * moves[event.key][1]));
    if (pen.down) strokes[strokes.length - 1].push([pen.x, pen.y]);
  } else if (event.key === " ") {
    pen = { ...pen, shown: true, down: !pen.down };
    if (pen.down) begin([pen.x, pen.y]);
  } else if (event.key === "Backspace") {
    undo();
  } else if (event.key === "Delete" || event.key === "Escape") {
    clear();
  } else {
    return;
  }
  event.preventDefault();
  update();
});

function undo() {
  if (sample !== null) return clear();
  strokes.pop();
  pen.down = false;
  drawing = null;
  update();
}

function clear() {
  strokes = [];
  pen.down = false;
  drawing = null;
  choose(null);
}

function choose(number) {
  sample = number;
  if (number !== null) {
    strokes = [];
    drawing = null;
    pen.down = pen.shown = false;
  }
  document.querySelectorAll("#samples [role=option]").forEach((option, k) => option.setAttribute("aria-selected", String(k === number)));
  update();
}

document.getElementById("undo").addEventListener("click", undo);
document.getElementById("clear").addEventListener("click", clear);

const list = document.getElementById("samples");
data.samples.labels.forEach((label, k) => {
  const option = document.createElement("canvas");
  [option.width, option.height, option.tabIndex] = [SIDE, SIDE, k ? -1 : 0];
  option.setAttribute("role", "option");
  option.setAttribute("aria-selected", "false");
  option.setAttribute("aria-label", `Test image ${data.samples.numbers[k]}, ${a(label)}`);
  option.title = `Test image ${data.samples.numbers[k]}, label ${label}`;
  showImage(option, samples.subarray(k * SIDE * SIDE, (k + 1) * SIDE * SIDE));
  option.addEventListener("click", () => { focusOn(k); choose(k); });
  list.append(option);
});

function focusOn(number) {
  [...list.children].forEach((option, k) => { option.tabIndex = k === number ? 0 : -1; });
  list.children[number].focus();
}

list.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const here = [...list.children].indexOf(document.activeElement);
  const across = Math.max(1, [...list.children].filter((option) => option.offsetTop === list.children[0].offsetTop).length);
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -here, End: list.children.length - 1 - here };
  if (event.key in moves) {
    const next = here + moves[event.key];
    if (next >= 0 && next < list.children.length) { focusOn(next); choose(next); }
  } else if (event.key === "Enter" || event.key === " ") {
    choose(here);
  } else {
    return;
  }
  event.preventDefault();
});

document.querySelectorAll("input[name=net]").forEach((radio, k) => {
  radio.checked = k === chosen;
  radio.addEventListener("change", () => { chosen = k; document.getElementById("inside").textContent = data.nets[k].title; update(); });
});

document.getElementById("tool").hidden = false;
show();
document.documentElement.dataset.ready = Math.round(performance.now());
