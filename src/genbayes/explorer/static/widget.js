// The explorer as a widget of notebooks (anywidget): beta and the observation are those of Python, in both directions.
import { make } from "./controls.js";
import { mount } from "./show.js";

/** Puts an explorer into the element of a cell, in a shadow of its own: the notebook's style and its own stay apart. */
export function render({ model, el }, workerSource, style) {
  const root = make("div", { class: "explorer" });
  const shadow = el.shadowRoot ?? el.attachShadow({ mode: "open" });
  shadow.replaceChildren(make("style", {}, style), make("div", { class: "page" }, root));
  const page = mount(root, JSON.parse(model.get("numbers")), workerSource);
  const observed = () => Array.from(page.x, (value, j) => (page.off.has(j) || !Number.isFinite(value) ? null : value));
  // A model tells of each value that is set, at once: what is told of the first would take back the second.
  let own = false;
  const tell = () => {
    const [beta, x] = [page.beta, observed()];
    own = true;
    model.set("beta", beta);
    model.set("x_o", x);
    own = false;
    model.save_changes();
  };
  const ask = page.ask.bind(page);
  let telling = null;
  page.ask = () => {
    ask();
    // Python hears of where a drag ends, and not of every step.
    clearTimeout(telling);
    telling = setTimeout(tell, 150);
  };
  const heard = () => {
    const [beta, x] = [model.get("beta"), model.get("x_o")];
    if (own || !page.able || (beta === page.beta && JSON.stringify(x) === JSON.stringify(observed()))) return;
    page.beta = beta;
    page.betaDial.set(beta);
    if (page.able.takesAny) {
      x.forEach((value, j) => {
        if (value === null) page.off.add(j);
        else {
          page.off.delete(j);
          page.x[j] = value;
        }
      });
      page.select(page.selected);
    }
    ask();
  };
  for (const name of ["beta", "x_o"]) model.on(`change:${name}`, heard);
  return () => {
    clearTimeout(telling);
    for (const name of ["beta", "x_o"]) model.off(`change:${name}`, heard);
    page.worker.terminate();
  };
}
