// The page: the list of runs, the run that the address names, and the key where the service asks for one.
import { key } from "./api.js";
import { RunView } from "./run.js";
import { Runs } from "./runs.js";

const $ = (id) => document.getElementById(id);
const runs = new Runs($("runs"), onProblem);
let view = null;

function onProblem(error) {
  if (error?.status === 401) return askForKey(key.get() ? "The service does not know this key." : "");
  $("notice").hidden = !error;
  $("notice").textContent = error ? `${error.message[0].toUpperCase()}${error.message.slice(1)}.`.replace(/\.\.$/, ".") : "";
  if (!error) $("panes").hidden = false;
}

function askForKey(problem) {
  runs.stop();
  view?.close();
  view = null;
  key.forget();
  $("panes").hidden = $("notice").hidden = true;
  $("forget-key").hidden = true;
  $("key-form").hidden = false;
  $("key-problem").textContent = problem;
  $("key").focus();
}

async function enter() {
  $("key-form").hidden = true;
  $("forget-key").hidden = !key.get();
  $("panes").hidden = false;
  await runs.start();
  if ($("key-form").hidden) route();
}

function route() {
  view?.close();
  view = null;
  const id = /^#\/runs\/([0-9a-f]{1,64})$/.exec(location.hash)?.[1] ?? null;
  document.body.classList.toggle("has-run", id !== null);
  document.title = "Runs";
  runs.mark(id);
  $("run").textContent = id ? "" : "Choose a run to see what happened in it.";
  if (!id) return;
  view = new RunView($("run"), id, onProblem, () => runs.refresh());
  view.show();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("key").value.trim());
  $("key").value = "";
  enter();
});
$("forget-key").addEventListener("click", () => askForKey(""));
window.addEventListener("hashchange", route);
enter();
