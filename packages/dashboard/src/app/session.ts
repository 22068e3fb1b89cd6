/** Who is signed in, and the session that everything but a job's own page uses. */
import {
  ARCPClient,
  type ConnectionState,
  type Question,
  type SessionFacts,
  type TokenSource,
  type TransportFactory,
} from "@arcp/client";
import { ARCPError, connectTransport, rootLogger, type Transport } from "@arcp/core";
import { signal } from "@preact/signals";
import { forgetFrames, tapped } from "./frames.ts";

export type SignIn =
  | { readonly phase: "out"; readonly problem: string | undefined }
  | { readonly phase: "connecting" }
  | { readonly phase: "in"; readonly client: ARCPClient };

const TOKEN_KEY = "arcp.token";

export const signIn = signal<SignIn>({ phase: "out", problem: undefined });
export const connection = signal<ConnectionState>({ phase: "idle" });
export const facts = signal<SessionFacts | undefined>(undefined);
/** Open questions of the principal's jobs, oldest first. */
export const questions = signal<readonly Question[]>([]);

let endpoint: string | undefined;

/** As Jupyter prints it: the token comes in the fragment, which is taken out of sight at once. */
export function tokenOfAddress(): string | undefined {
  const token = new URLSearchParams(location.hash.replace(/^#/, "")).get("token");
  if (token === null || token === "") return undefined;
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
  return token;
}

export const keptToken = (): string | undefined => sessionStorage.getItem(TOKEN_KEY) ?? undefined;

/** Opens connections to the runtime; what passes them is kept for a while. */
async function openConnection(abort: AbortSignal): Promise<Transport> {
  endpoint ??= await readEndpoint();
  const url = new URL(endpoint, location.href.replace(/^http/, "ws"));
  url.hash = "";
  // Where the page itself came without TLS, its operator has allowed that; to other hosts a token goes encrypted alone.
  const allowInsecure = url.host === location.host;
  return connectTransport(url.href, { signal: abort, allowInsecure }).then(tapped);
}

/** Opens a session of its own, with the token of whoever is signed in, which reconnects for as long as it takes. */
export async function openClient(token: string, signal?: AbortSignal): Promise<ARCPClient> {
  return ARCPClient.connect(openConnection, {
    client: { name: "arcp-dashboard", version: "0.1.0" },
    token,
    maxKeptEvents: 1,
    logger: rootLogger,
    reconnect: { onExpired: "reattach", maxDelayMs: 5_000 },
    ...(signal && { signal }),
  });
}

/** What opens a session of wire 1.0 in the name of whoever is signed in: for what wire 1.1 has no word for. */
export const wire10 = (): { readonly open: TransportFactory; readonly token: TokenSource } => ({
  open: openConnection,
  token: keptToken() ?? "",
});

async function readEndpoint(): Promise<string> {
  const response = await fetch("./dashboard.json");
  const settings: unknown = response.ok ? await response.json() : {};
  const told = (settings as { readonly endpoint?: unknown }).endpoint;
  return typeof told === "string" ? told : "/arcp";
}

export async function signInWith(token: string): Promise<void> {
  signIn.value = { phase: "connecting" };
  try {
    const client = await openClient(token);
    sessionStorage.setItem(TOKEN_KEY, token);
    watch(client);
    signIn.value = { phase: "in", client };
  } catch (thrown) {
    const error = ARCPError.from(thrown);
    if (error.code === "UNAUTHENTICATED") sessionStorage.removeItem(TOKEN_KEY);
    signIn.value = { phase: "out", problem: problemOf(error) };
  }
}

const problemOf = (error: ARCPError): string => {
  if (error.code === "UNAUTHENTICATED") return "The runtime does not take this token.";
  return `The runtime could not be reached: ${error.message}. Is it running?`;
};

function watch(client: ARCPClient): void {
  const update = (): void => {
    questions.value = client.questions;
  };
  client.on("question", update);
  client.on("questionEnd", update);
  client.on("state", (state) => {
    connection.value = state;
    if (state.phase === "connected") {
      facts.value = client.session;
      update();
    }
    if (state.phase === "closed" && signIn.value.phase === "in" && signIn.value.client === client) {
      signIn.value = { phase: "out", problem: state.error && problemOf(state.error) };
    }
  });
  connection.value = client.state;
  facts.value = client.session;
  update();
}

/** Forgets the token, and ends the session. */
export function signOut(): void {
  sessionStorage.removeItem(TOKEN_KEY);
  const { value } = signIn;
  signIn.value = { phase: "out", problem: undefined };
  questions.value = [];
  forgetFrames();
  if (value.phase === "in") void value.client.close("signed out");
}

/** The client of whoever is signed in. Throws for nobody: pages are shown to those who are. */
export function client(): ARCPClient {
  if (signIn.value.phase !== "in") throw new Error("nobody is signed in");
  return signIn.value.client;
}

/** What went wrong, for people. */
export const messageOf = (thrown: unknown): string => {
  const error = ARCPError.from(thrown);
  return `${error.code}: ${error.message}`;
};
