// The door: a token, or an account's name and password.

import { onMounted, ref } from "vue";
import * as api from "astrolens/js/api.js";
import { href, route } from "astrolens/js/router.js";

/** Where to go after: one of our own pages, never another site's. */
export function safeNext(text) {
  return typeof text === "string" && /^\/(?![/\\])/.test(text) ? text : href("/");
}

export default {
  setup() {
    const kind = ref(localStorage.getItem("astrolens.login") === "account" ? "account" : "token");
    const name = ref("");
    const secret = ref("");
    const problem = ref("");
    const busy = ref(false);
    const field = ref(null);
    onMounted(() => field.value?.focus());
    const login = async () => {
      busy.value = true;
      problem.value = "";
      try {
        await api.post("/login", kind.value === "token" ? { token: secret.value } : { name: name.value.trim(), password: secret.value });
        localStorage.setItem("astrolens.login", kind.value);
        // A whole load: every page asks anew, now with the session.
        window.location.assign(safeNext(route.query.next));
      } catch (error) {
        problem.value = error.message;
        busy.value = false;
      }
    };
    return { busy, field, kind, login, name, problem, secret };
  },
  template: `
    <form class="login panel" @submit.prevent="login">
      <h1>AstroLens</h1>
      <div class="sizes" role="group" aria-label="Log in with"><button type="button" class="btn" :aria-pressed="String(kind === 'token')" @click="kind = 'token'">Token</button><button type="button" class="btn" :aria-pressed="String(kind === 'account')" @click="kind = 'account'">Account</button></div>
      <label v-if="kind === 'account'">Name<input v-model="name" name="name" autocomplete="username" required maxlength="64" autocapitalize="none" spellcheck="false"></label>
      <label>{{ kind === 'token' ? 'Token' : 'Password' }}<input ref="field" v-model="secret" type="password" :name="kind" autocomplete="current-password" required maxlength="1000"></label>
      <p v-if="problem" class="trouble-text" role="alert">{{ problem }}</p>
      <button type="submit" class="btn primary" :disabled="busy || !secret">Log in</button>
      <p class="muted">{{ kind === 'token' ? 'The token is what ASTROLENS_TOKEN was set to.' : 'Accounts are made on the console’s own machine.' }}</p>
    </form>`,
};
