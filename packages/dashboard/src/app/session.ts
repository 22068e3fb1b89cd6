/** Who is signed in, and the session that everything but a job's own page uses. */
import {
  ARCPClient,
  type ConnectionState,
  type Question,
  type QuestionEnd,
  type SessionFacts,
  type TokenSource,
  type TransportFactory,
} from "@arcp/client";
import { ARCPError, connectTransport, rootLogger, type Transport, UnauthenticatedError } from "@arcp/core";
import { signal } from "@preact/signals";
import { forgetFrames, tapped } from "./frames.ts";
import { forgetInputs } from "./submitted.ts";

export type SignIn =
  /** `reason`: what the runtime says of a link that it does not take. */
  | { readonly phase: "out"; readonly problem: string | undefined; readonly reason?: string | undefined }
  | { readonly phase: "connecting" }
  | { readonly phase: "in"; readonly client: ARCPClient };

/** What whoever serves the page says of it. */
export interface Settings {
  /** Where the runtime takes WebSockets. */
  readonly endpoint: string;
  /** Who signs people in; `undefined`: a token does. */
  readonly signIn?: { readonly provider: string; readonly acceptsTokens: boolean };
}

const TOKEN_KEY = "arcp.token";
const LINK_KEY = "arcp.link";

export const signIn = signal<SignIn>({ phase: "out", problem: undefined });
export const connection = signal<ConnectionState>({ phase: "idle" });
export const facts = signal<SessionFacts | undefined>(undefined);
/** Open questions of the principal's jobs, oldest first. */
export const questions = signal<readonly Question[]>([]);

/** How questions of this session have ended, the last one. */
export const lastEnd = signal<QuestionEnd | undefined>(undefined);
/** Has the page been opened by a link to one question? Then there is nothing else on it. */
export const isLinked = signal(false);

/** `undefined` until they are known. */
export const settings = signal<Settings | undefined>(undefined);
/** What sessions are opened with: a token, or where there is one for each time, because the browser has a cookie. */
let credential: TokenSource = "";

/** As Jupyter prints it: the token comes in the fragment, which is taken out of sight at once. */
export function tokenOfAddress(): string | undefined {
  const token = new URLSearchParams(location.hash.replace(/^#/, "")).get("token");
  if (token === null || token === "") return undefined;
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
  return token;
}

/**
 * The token of a link to one question, which is taken out of the address at once. It is kept for this tab, so that the page can be
 * loaded again until it was used.
 */
function linkOfAddress(): string | undefined {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  if (path !== "answer") return undefined;
  const given = new URLSearchParams(query).get("link");
  if (given === null) return sessionStorage.getItem(LINK_KEY) ?? "";
  sessionStorage.setItem(LINK_KEY, given);
  history.replaceState(null, "", "#/answer");
  return given;
}

const keptToken = (): string | undefined => sessionStorage.getItem(TOKEN_KEY) ?? undefined;

/** Opens connections to the runtime; what passes them is kept for a while. */
async function openConnection(abort: AbortSignal): Promise<Transport> {
  const { endpoint } = await readSettings();
  const url = new URL(endpoint, location.href.replace(/^http/, "ws"));
  url.hash = "";
  // Where the page itself came without TLS, its operator has allowed that; to other hosts a token goes encrypted alone.
  const allowInsecure = url.host === location.host;
  return connectTransport(url.href, { signal: abort, allowInsecure }).then(tapped);
}

/** Opens a session of its own, in the name of whoever is signed in, which reconnects for as long as it takes. */
export async function openClient(signal?: AbortSignal): Promise<ARCPClient> {
  return ARCPClient.connect(openConnection, {
    client: { name: "arcp-dashboard", version: "0.1.0" },
    token: credential,
    maxKeptEvents: 1,
    logger: rootLogger,
    reconnect: { onExpired: "reattach", maxDelayMs: 5_000 },
    ...(signal && { signal }),
  });
}

/** What opens a session of wire 1.0 in the name of whoever is signed in: for what wire 1.1 has no word for. */
export const wire10 = (): { readonly open: TransportFactory; readonly token: TokenSource } => ({
  open: openConnection,
  token: credential,
});

async function readSettings(): Promise<Settings> {
  if (settings.value !== undefined) return settings.value;
  const response = await fetch("./dashboard.json");
  const told = (response.ok ? await response.json() : {}) as Partial<Settings>;
  settings.value = { ...told, endpoint: typeof told.endpoint === "string" ? told.endpoint : "/arcp" };
  return settings.value;
}

/** Asks the dashboard's own server about the sign-in; its cookie, which no script sees, says whose. */
async function askSignIn(what: "begin" | "token" | "end", body: object = {}): Promise<Response> {
  const response = await fetch(`./auth/${what}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.ok) return response;
  throw new Error((await response.text()).trim() || `the server answered with ${response.status}`);
}

/** A token for one connection, for as long as the cookie is good. */
async function ticket(): Promise<string> {
  const response = await askSignIn("token");
  if (response.status === 204) throw new UnauthenticatedError("nobody is signed in");
  const { token } = (await response.json()) as { readonly token: string };
  return token;
}

/** With the token of the address, the cookie, or the token of before; nobody is signed in without any of them. */
export async function signInAgain(): Promise<void> {
  const link = linkOfAddress();
  if (link !== undefined) {
    isLinked.value = true;
    return connect(link, "link");
  }
  const given = tokenOfAddress();
  const kept = given ?? keptToken();
  if (kept !== undefined) return signInWith(kept);
  try {
    const { signIn: offered } = await readSettings();
    if (offered === undefined) return;
    const response = await askSignIn("token");
    if (response.status === 204) return;
    // It is good for a minute, and the client asks for one at every connection.
    await connect(ticket);
  } catch (thrown) {
    signIn.value = { phase: "out", problem: problemOf(ARCPError.from(thrown)) };
  }
}

/** Leaves for the identity provider, from which the browser comes back to this place. */
export async function leaveToSignIn(): Promise<void> {
  signIn.value = { phase: "connecting" };
  try {
    const response = await askSignIn("begin", { place: location.hash });
    const told = (await response.json()) as { readonly location: string };
    location.assign(told.location);
  } catch (thrown) {
    signIn.value = { phase: "out", problem: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

export async function signInWith(token: string): Promise<void> {
  await connect(token);
}

async function connect(shown: TokenSource, kind: "token" | "link" = "token"): Promise<void> {
  signIn.value = { phase: "connecting" };
  credential = shown;
  try {
    const client = await openClient();
    if (typeof shown === "string" && kind === "token") sessionStorage.setItem(TOKEN_KEY, shown);
    watch(client);
    signIn.value = { phase: "in", client };
  } catch (thrown) {
    const error = ARCPError.from(thrown);
    if (error.code === "UNAUTHENTICATED" && kind === "token") sessionStorage.removeItem(TOKEN_KEY);
    signIn.value = { phase: "out", problem: problemOf(error), reason: reasonOf(error) };
  }
}

/** Why a link is not taken. */
const reasonOf = ({ code, details }: ARCPError): string | undefined =>
  code === "UNAUTHENTICATED" ? String(details?.["reason"] ?? "not_valid") : undefined;

const problemOf = (error: ARCPError): string => {
  if (error.code === "UNAUTHENTICATED")
    return typeof credential === "string" ? "The runtime does not take this token." : "You are not signed in any more.";
  return `The runtime could not be reached: ${error.message}. Is it running?`;
};

function watch(client: ARCPClient): void {
  const update = (): void => {
    questions.value = client.questions;
  };
  client.on("question", update);
  client.on("questionEnd", (end) => {
    lastEnd.value = end;
    update();
  });
  client.on("state", (state) => {
    connection.value = state;
    if (state.phase === "connected") {
      facts.value = client.session;
      update();
    }
    if (state.phase === "closed" && signIn.value.phase === "in" && signIn.value.client === client) {
      signIn.value = {
        phase: "out",
        problem: state.error && problemOf(state.error),
        reason: state.error && reasonOf(state.error),
      };
    }
  });
  connection.value = client.state;
  facts.value = client.session;
  update();
}

/** Forgets the token, or has the cookie forgotten, and ends the session. */
export function signOut(): void {
  sessionStorage.removeItem(TOKEN_KEY);
  if (typeof credential !== "string") void endSignIn();
  credential = "";
  const { value } = signIn;
  signIn.value = { phase: "out", problem: undefined };
  questions.value = [];
  forgetFrames();
  forgetInputs();
  if (value.phase === "in") void value.client.close("signed out");
}

async function endSignIn(): Promise<void> {
  try {
    const told = (await (await askSignIn("end")).json()) as { readonly location?: string };
    if (told.location !== undefined) location.assign(told.location);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    signIn.value = { phase: "out", problem: `You may still be signed in: ${reason}` };
  }
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
