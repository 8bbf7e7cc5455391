// What cannot be trusted of the posterior that is shown, each in a sentence.
import { shown } from "./pictures.js";

// As in sampling/draws.py and sampling/log_density_error.py.
const LEAST_EFFECTIVE = 100;
const MOST_UNCERTAIN = 0.35;

/** Sentences, each with whether it greys the pictures. */
export function doubts(state, data, marks, free) {
  const found = [];
  if (state.progress < 1) {
    const share = Math.round(100 * state.progress);
    found.push({ grey: true, text: `The draws are on their way (${share} %) and do not follow this posterior yet.` });
  } else if (state.ess < LEAST_EFFECTIVE) {
    const more = state.settled ? "" : " More are being made.";
    const text = `Only ${Math.round(state.ess)} of ${state.n} draws are independent: places and widths are uncertain.${more}`;
    found.push({ grey: true, text });
  }
  const nats = state.nats;
  if (nats !== null && nats > MOST_UNCERTAIN * Math.sqrt(free)) {
    const text =
      `At this beta the networks that were fitted disagree by about ${shown(nats, 2)} in the log density: the ` +
      "simulations do not carry a beta this large. Lower beta, or refine.";
    found.push({ grey: true, text });
  }
  const outside = marks.filter((mark) => mark.outside && !mark.off);
  if (outside.length) {
    const named = outside.slice(0, 3).map((mark) => `${mark.name} (${shown(mark.low)} to ${shown(mark.high)})`);
    const more = outside.length > 3 ? `, and ${outside.length - 3} more` : "";
    const general = data.cost.form.form === "general";
    const why = general
      ? "a general network has learned nothing there, and its cost is a guess."
      : "the cost is as exact there as elsewhere, but no parameter makes such a value, and the posterior is a compromise.";
    const runs = `Outside what ${data.runs.toLocaleString("en")} runs of the simulator gave`;
    found.push({ grey: general, text: `${runs}: ${named.join(", ")}${more}; ${why}` });
  }
  return found;
}
