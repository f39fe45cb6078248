// Passkeys: the browser's own dialogue (WebAuthn) between two calls of the console.

import {post} from "./console.js";

const supported = "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;

async function proof(path) {
  const {options} = await post(`${path}/options`);
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({publicKey})).toJSON();
}

async function logIn(form) {
  const value = name => form.elements.namedItem(name)?.value ?? "";
  const {next} = await post("/app/log-in/passkey", {credential: await proof("/app/log-in/passkey"), next: value("next")});
  // A form that waits comes back by the log-in page itself.
  if (value("held")) form.submit();
  else location.assign(next);
}

async function stepUp(form) {
  await post("/app/step-up/passkey", {credential: await proof("/app/step-up/passkey")});
  form.submit();
}

async function add(form) {
  const {options} = await post("/app/security/passkeys/options");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = (await navigator.credentials.create({publicKey})).toJSON();
  const {recovery_codes: codes} = await post("/app/security/passkeys", {name: form.elements.namedItem("name").value, credential});
  if (!codes.length) return location.reload();
  const shown = document.querySelector("[data-recovery-codes]");
  shown.querySelector("ul").replaceChildren(...codes.map(code => {
    const item = document.createElement("li");
    item.textContent = code;
    return item;
  }));
  shown.hidden = false;
  form.hidden = true;
  shown.focus();
}

const actions = {"log-in": logIn, "step-up": stepUp, add};

for (const button of document.querySelectorAll("[data-passkey]")) {
  button.hidden = !supported;
  const form = button.closest("form");
  button.addEventListener("click", async () => {
    const wrong = form.querySelector("[data-passkey-error]");
    wrong.hidden = true;
    button.setAttribute("aria-busy", "true");
    try {
      await actions[button.dataset.passkey](form);
    } catch (error) {
      // NotAllowedError: the person closed the dialogue.
      if (error.name !== "NotAllowedError") {
        wrong.textContent = error.message;
        wrong.hidden = false;
      }
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}
