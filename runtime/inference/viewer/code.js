// Texts of models and programs: code with highlighting, output, prose. Prism only cuts code into tokens; the elements
// are made here, out of text nodes.
import { el } from "./dom.js";

const SHOWN_CHARACTERS = 200_000;
const HIGHLIGHTED_CHARACTERS = 50_000;

/** A piece of Python. */
export function code(text) {
  const block = el("code");
  const tokens = text.length > HIGHLIGHTED_CHARACTERS ? [text] : Prism.tokenize(text, Prism.languages.python);
  block.append(...tokens.map(span));
  return framed(block, text, "code");
}

/** What a program printed, or an answer. Beyond what a page can show there is the download. */
export function output(text, name = "output") {
  return framed(el("samp", {}, text.slice(0, SHOWN_CHARACTERS)), text, name);
}

/** A model's text: its code blocks as code, the rest as it is. */
export function prose(text) {
  const parts = text.split(/^([ \t]*)(```|~~~)(?:repl|python|py)[ \t]*\r?\n([\s\S]*?)^[ \t]*\2[ \t]*$/m);
  const shown = [];
  for (let index = 0; index < parts.length; index += 4) {
    if (parts[index].trim()) shown.push(el("p", { class: "prose" }, parts[index].trim()));
    if (index + 3 < parts.length) shown.push(code(parts[index + 3]));
  }
  return shown.length ? shown : [el("p", { class: "muted" }, "(no text)")];
}

function framed(block, text, name) {
  const note = text.length > SHOWN_CHARACTERS ? `the first ${SHOWN_CHARACTERS.toLocaleString("en-US")} characters` : "";
  const copy = el("button", { type: "button", class: "small", onclick: () => copyText(text, copy) }, "Copy");
  const save = note && el("button", { type: "button", class: "small", onclick: () => download(text, name) }, "Download");
  return el("figure", { class: `block ${name}` }, el("figcaption", {}, el("span", {}, note || name), save || null, copy),
    el("pre", { tabindex: "0", "aria-label": name }, block));
}

function span(token) {
  if (typeof token === "string") return el("span", {}, token);
  const content = Array.isArray(token.content) ? token.content : [token.content];
  const element = el("span", { class: `tok-${token.type}` });
  element.append(...content.map(span));
  return element;
}

async function copyText(text, button) {
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  button.textContent = done ? "Copied" : "No access";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function download(text, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  el("a", { href: address, download: `${name}.txt` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
