import "./without-eval.ts";
import { effect } from "@preact/signals";
import { render } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { Board } from "./board.ts";
import { duration } from "./clock.ts";
import { listenToKeys } from "./keys.ts";
import { lazily } from "./lazily.tsx";
import { watchQuestions } from "./notifications.tsx";
import { AnswerPage } from "./pages/answer.tsx";
import { BoardPage } from "./pages/board.tsx";
import { InboxPage } from "./pages/inbox.tsx";
import { SignInPage } from "./pages/sign-in.tsx";
import { isPaletteOpen, Palette } from "./palette.tsx";
import { route } from "./route.ts";
import {
  connection,
  facts,
  isLinked,
  questions,
  signIn,
  signInAgain,
  signInWith,
  signOut,
  tokenOfAddress,
} from "./session.ts";
import { restoreTheme, toggleTheme } from "./theme.ts";
import { Text, visible } from "./visible-text.tsx";

// The first page is the board: the others are loaded when they are wanted, a job's a little before.
const loadJobPage = () => import("./pages/job.tsx").then(({ JobPage: page }) => page);
const JobPage = lazily(loadJobPage);
const WirePage = lazily(() => import("./pages/wire.tsx").then(({ WirePage: page }) => page));
const SubmitPage = lazily(() => import("./pages/submit.tsx").then(({ SubmitPage: page }) => page));

const PREFETCH_MS = 1_000;

function App() {
  if (isLinked.value) return <AnswerPage />;
  if (signIn.value.phase !== "in") return <SignInPage />;
  return <SignedIn />;
}

function SignedIn() {
  const { value } = signIn;
  // Made at once, and not after the first picture: it has the list to ask for.
  const board = useMemo(() => (value.phase === "in" ? new Board(value.client) : undefined), [value]);
  useEffect(() => () => board?.close(), [board]);
  useEffect(() => {
    const timer = setTimeout(() => {
      loadJobPage().catch(() => {
        // Whoever opens a job is told.
      });
    }, PREFETCH_MS);
    return () => clearTimeout(timer);
  }, []);
  if (board === undefined) return null;
  return (
    <>
      <TopBar />
      <ConnectionBanner />
      <Page board={board} />
      {isPaletteOpen.value ? <Palette board={board} /> : null}
    </>
  );
}

function Page({ board }: { readonly board: Board }) {
  const [place, jobId] = route.value.path;
  if (place === "jobs" && jobId !== undefined) return <JobPage jobId={jobId} board={board} />;
  if (place === "inbox") return <InboxPage />;
  if (place === "submit") return <SubmitPage board={board} />;
  if (place === "wire") return <WirePage />;
  return <BoardPage board={board} />;
}

const TITLES: Readonly<Record<string, string>> = { jobs: "Job", inbox: "Inbox", submit: "Submit", wire: "Envelopes" };

function TopBar() {
  const [place = ""] = route.value.path;
  const open = questions.value.length;
  const link = (target: string, name: string, children?: preact.ComponentChildren) => (
    <a href={`#/${target}`} aria-current={place === target ? "page" : undefined}>
      {name}
      {children}
    </a>
  );
  return (
    <header class="top">
      <a href="#/" class="brand" aria-label="arcp, all jobs">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M8 23 16 8l8 15M11.5 17.5h9" />
        </svg>
        <span>arcp</span>
      </a>
      <nav aria-label="Pages">
        {link("", "Jobs")}
        {link("inbox", "Inbox", open > 0 ? <span class="badge">{open}</span> : null)}
        {link("submit", "Submit")}
        {link("wire", "Envelopes")}
      </nav>
      <span class="top-right">
        <Runtime />
        <button
          type="button"
          class="small"
          onClick={() => {
            isPaletteOpen.value = true;
          }}
        >
          Commands <kbd>⌘K</kbd>
        </button>
        <button type="button" class="small" aria-label="Light or dark" title="Light or dark (t)" onClick={toggleTheme}>
          ◐
        </button>
        <button type="button" class="small" onClick={signOut}>
          Sign out
        </button>
      </span>
    </header>
  );
}

function Runtime() {
  const { phase } = connection.value;
  const runtime = facts.value?.runtime;
  return (
    <span class={`runtime runtime-${phase}`}>
      <span aria-hidden="true" class="dot" />
      {runtime === undefined ? null : (
        <span class="runtime-name">
          <Text value={`${runtime.name} ${runtime.version}`} max={60} />
        </span>
      )}
      <span class={phase === "connected" ? "sr-only" : ""}>{phase}</span>
    </span>
  );
}

/** What is on the page may be old: it says so, since when it matters. */
function ConnectionBanner() {
  const state = connection.value;
  if (state.phase === "connected" || state.phase === "idle") return null;
  return (
    <p class="banner" role="status">
      {state.phase === "reconnecting" ? (
        <>
          <strong>The connection is lost.</strong> What you see is as it was. Attempt {state.attempt}, in{" "}
          {duration(state.delayMs)}: <Text value={state.cause.message} max={200} />
        </>
      ) : (
        <strong>{visible(state.phase)}</strong>
      )}
    </p>
  );
}

restoreTheme();
watchQuestions();
// Not by a component: a tab in the background draws none, and its title is all that is seen of it.
effect(() => {
  const open = questions.value.length;
  document.title = `${open > 0 ? `(${open}) ` : ""}${TITLES[route.value.path[0] ?? ""] ?? "Jobs"} · arcp`;
});
listenToKeys();
void signInAgain();
// A link with a token that is followed while the page is open signs in as well.
addEventListener("hashchange", () => {
  // So does a link to a question, in the place of everything else.
  if (location.hash.startsWith("#/answer?")) location.reload();
  const given = tokenOfAddress();
  if (given !== undefined) void signInWith(given);
});
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
