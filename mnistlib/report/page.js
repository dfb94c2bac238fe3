"use strict";
// Buttons that copy code and save figures, and the section in view marked in the contents. Without it, a page lacks no words.
function button(text, kind, act) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", className: kind, textContent: text });
  made.addEventListener("click", () => act(made));
  return made;
}

function copy(code, made) {
  const range = document.createRange(), selected = getSelection();
  range.selectNodeContents(code);
  selected.removeAllRanges();
  selected.addRange(range);
  made.textContent = document.execCommand("copy") ? "Copied" : "Selected"; // also where a page is opened as a file
  setTimeout(() => { made.textContent = "Copy"; }, 2000);
}

for (const code of document.querySelectorAll(".highlight pre")) {
  code.tabIndex = 0; // it scrolls
  code.parentElement.append(button("Copy", "copy", (made) => copy(code, made)));
}

for (const figure of document.querySelectorAll("figure.plot[id]")) {
  const caption = figure.querySelector("figcaption"), shown = figure.querySelector("img, svg");
  if (caption && shown) caption.append(" ", button("Save", "save", () => save(shown, figure.id)));
}

function save(shown, name) {
  const link = document.createElement("a"), vector = shown.tagName === "svg";
  link.href = vector ? `data:image/svg+xml,${encodeURIComponent(shown.outerHTML)}` : shown.src;
  link.download = name + (vector ? ".svg" : ".png");
  link.click();
}

const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
const heads = [...document.querySelectorAll("h2[id]")].filter((head) => links.has(head.id));
function mark() {
  const passed = heads.filter((head) => head.getBoundingClientRect().top < innerHeight / 3).pop();
  for (const [id, link] of links) id === passed?.id ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
}
if (heads.length) {
  addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
  mark();
}
