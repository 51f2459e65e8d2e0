/** Light and dark: as the system has it, or as chosen; and the colours of style.css for what is drawn on a canvas. */

const NAMES = /** @type {const} */ (["panel", "raised", "line", "ground", "text", "dim", "faint", "accent", "warn"]);
const ORDER = ["auto", "light", "dark"];

/** @type {Record<typeof NAMES[number], string> | null} */
let known = null;

/** Colours of the present theme by their name in style.css. */
export function colours() {
  if (known) return known;
  const probe = document.createElement("span");
  document.body.append(probe);
  known = /** @type {any} */ (
    Object.fromEntries(
      NAMES.map((name) => {
        probe.style.color = `var(--${name})`;
        return [name, getComputedStyle(probe).color];
      }),
    )
  );
  probe.remove();
  return /** @type {any} */ (known);
}

/** @param {import("./state.js").Store} store  told "theme" whenever the colours change */
export function initTheme(store) {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));
  let theme = "auto";
  try {
    theme = localStorage.getItem("uniref-label-theme") ?? "auto";
  } catch {
    // a browser without storage follows the system
  }
  const apply = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const name = { auto: "as the system", light: "light", dark: "dark" }[theme];
    button.title = `Theme: ${name} (D)`;
    button.setAttribute("aria-label", `Theme: ${name}`);
    known = null;
    store.touch("theme");
  };
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    try {
      localStorage.setItem("uniref-label-theme", theme);
    } catch {
      // it holds until the page is closed
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}
