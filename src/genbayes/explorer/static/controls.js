// Building blocks of the page: elements, number fields and sliders that say the same.

/** An element with attributes, listeners (on...) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A checkbox with its text. */
export function checkbox(text, checked, changed, name = text) {
  const box = make("input", { type: "checkbox", "aria-label": name, onchange: () => changed(box.checked) });
  box.checked = checked;
  return { box, label: make("label", { class: "check" }, box, ` ${text}`) };
}

/** A slider and a number field of one value; `show` maps the value to the slider's 0 to 1000 and back. */
export class Dial {
  constructor(name, { low, high, value, logarithmic = false, whole = false, changed }) {
    Object.assign(this, { low, high, logarithmic, whole, changed, value });
    this.slider = make("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": name, oninput: () => this.slid() });
    this.field = make("input", { type: "number", step: whole ? 1 : "any", "aria-label": `${name}, as a number`, onchange: () => this.typed() });
    this.set(value);
    this.element = make("span", { class: "dial" }, this.slider, this.field);
  }

  place(value) {
    const share = this.logarithmic
      ? Math.log(value / this.low) / Math.log(this.high / this.low)
      : (value - this.low) / (this.high - this.low);
    return Math.round(1000 * Math.min(Math.max(share, 0), 1));
  }

  at(place) {
    const share = place / 1000;
    if (this.logarithmic) return this.low * (this.high / this.low) ** share;
    const value = this.low + share * (this.high - this.low);
    return this.whole ? Math.round(value) : value;
  }

  /** Shows a value without telling anyone. */
  set(value) {
    this.value = value;
    const known = Number.isFinite(value);
    if (known) this.slider.value = this.place(value);
    this.field.value = known ? String(Number(value.toPrecision(5))) : "";
    this.slider.setAttribute("aria-valuetext", known ? String(Number(value.toPrecision(4))) : "missing");
  }

  range(low, high) {
    [this.low, this.high] = [low, high];
    this.set(this.value);
  }

  slid() {
    const value = this.at(Number(this.slider.value));
    this.value = value;
    this.field.value = String(Number(value.toPrecision(4)));
    this.slider.setAttribute("aria-valuetext", this.field.value);
    this.changed(value);
  }

  typed() {
    const value = this.whole ? Math.round(this.field.valueAsNumber) : this.field.valueAsNumber;
    if (!Number.isFinite(value) || (this.logarithmic && !(value > 0))) return this.set(this.value);
    this.set(value);
    return this.changed(value);
  }
}

export function disable(elements, whether) {
  for (const element of elements) element.disabled = whether;
}
