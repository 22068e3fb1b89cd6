import { useState } from "preact/hooks";
import { leaveToSignIn, settings, signIn, signInWith } from "../session.ts";
import { Text } from "../visible-text.tsx";

export function SignInPage() {
  const { value } = signIn;
  const isBusy = value.phase === "connecting";
  const offered = settings.value?.signIn;
  // Which way there is has to be known first, unless nobody can tell.
  const isKnown = settings.value !== undefined || (value.phase === "out" && value.problem !== undefined);
  return (
    <main class="sign-in">
      <div class="card">
        <h1>Sign in to this runtime</h1>
        {value.phase === "out" && value.problem !== undefined ? (
          <p class="problem" role="alert">
            <Text value={value.problem} max={1_000} />
          </p>
        ) : null}
        {offered === undefined ? null : (
          <button type="button" class="primary" disabled={isBusy} onClick={() => void leaveToSignIn()}>
            Sign in with <Text value={offered.provider} max={100} />
          </button>
        )}
        {isKnown && (offered === undefined || offered.acceptsTokens) ? <TokenForm isBusy={isBusy} /> : null}
      </div>
    </main>
  );
}

function TokenForm({ isBusy }: { readonly isBusy: boolean }) {
  const [token, setToken] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    if (token.trim() !== "") void signInWith(token.trim());
  };
  return (
    <form onSubmit={submit}>
      <p>
        With the token that you would give to <code>arcp</code>. It stays in this tab, and is forgotten when the tab is
        closed.
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
      <button type="submit" class="primary" disabled={isBusy || token.trim() === ""}>
        {isBusy ? "Signing in…" : "Sign in"}
      </button>
      <p class="hint">
        No token at hand? <code>arcp serve</code> without tokens makes one for its directory, in{" "}
        <code>.arcp/token</code>, and prints a link that signs in.
      </p>
    </form>
  );
}
