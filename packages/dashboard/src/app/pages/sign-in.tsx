import { useState } from "preact/hooks";
import { signIn, signInWith } from "../session.ts";

export function SignInPage() {
  const [token, setToken] = useState("");
  const { value } = signIn;
  const isBusy = value.phase === "connecting";
  const submit = (event: Event): void => {
    event.preventDefault();
    if (token.trim() !== "") void signInWith(token.trim());
  };
  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit}>
        <h1>Sign in to this runtime</h1>
        <p>
          With the token that you would give to <code>arcp</code>. It stays in this tab, and is forgotten when the tab
          is closed.
        </p>
        <label>
          Token
          <input
            type="password"
            name="token"
            autocomplete="off"
            spellcheck={false}
            value={token}
            disabled={isBusy}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        {value.phase === "out" && value.problem !== undefined ? (
          <p class="problem" role="alert">
            {value.problem}
          </p>
        ) : null}
        <button type="submit" class="primary" disabled={isBusy || token.trim() === ""}>
          {isBusy ? "Signing in…" : "Sign in"}
        </button>
        <p class="hint">
          No token at hand? <code>arcp serve</code> without tokens makes one for its directory, in{" "}
          <code>.arcp/token</code>, and prints a link that signs in.
        </p>
      </form>
    </main>
  );
}
