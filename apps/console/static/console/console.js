// What every page does: states of the connection, forms that are sent once, menus that close.
// Pages work without it.

/** Says how fresh the page is: "live", "stale", "offline", "unavailable" or "logged-out". */
export function setConnection(state) {
  const root = document.documentElement;
  if (root.dataset.connection === state) return;
  root.dataset.connection = state;
  for (const text of document.querySelectorAll("[data-connection-text]")) {
    text.hidden = text.dataset.connectionText !== state;
  }
}

/** Asks why a stream ended or a part of the page did not come. */
export async function askWhy() {
  if (!navigator.onLine) return setConnection("offline");
  try {
    const answer = await fetch("/app/session", {headers: {Accept: "application/json"}});
    const {state} = await answer.json();
    setConnection(state === "logged_out" ? "logged-out" : state === "logged_in" ? "live" : "unavailable");
  } catch {
    setConnection("offline");
  }
}

/** The token that the console asks for with every POST. */
export function formToken() {
  return document.querySelector('meta[name="form-token"]')?.content ?? "";
}

/** POSTs JSON to a page of the console, and gives its JSON. Throws Error with a sentence for a person. */
export async function post(path, body = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: {"Content-Type": "application/json", "X-CSRFToken": formToken()},
    body: JSON.stringify(body),
  });
  const told = await answer.json().catch(() => ({}));
  if (told.error) throw new Error(told.error);
  if (!answer.ok) throw new Error(document.body.dataset.failed ?? "");
  return told;
}

function sendOnce(event) {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
  event.submitter?.setAttribute("aria-busy", "true");
}

function start() {
  document.addEventListener("submit", sendOnce);
  // A page that comes back from the history may be sent again.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const button of document.querySelectorAll('[aria-busy="true"]')) button.removeAttribute("aria-busy");
  });
  addEventListener("offline", () => setConnection("offline"));
  addEventListener("online", askWhy);
  document.body.addEventListener("console:logged-out", () => setConnection("logged-out"));
  document.body.addEventListener("console:unavailable", () => setConnection("unavailable"));
  document.body.addEventListener("htmx:sendError", askWhy);
  document.body.addEventListener("htmx:afterRequest", event => {
    if (event.detail.successful && document.documentElement.dataset.connection !== "live") setConnection("live");
  });
  document.addEventListener("click", event => {
    for (const menu of document.querySelectorAll("details.drop[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.drop[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  // A form that came back after a log-in stands at its own address again.
  const own = document.querySelector("[data-own-address]")?.dataset.ownAddress;
  if (own && own !== location.pathname + location.search) history.replaceState(null, "", own);
  document.querySelector('[aria-invalid="true"]')?.focus();
}

start();
