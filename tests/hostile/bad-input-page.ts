/** The page docs/hostile-input.md, made of the tables that the tests run on. */
import { BUN, HONO_FETCH, type HostLimits } from "../adapters/host-limits.ts";
import { BAD_INTROSPECTIONS } from "./bad-tokens.ts";
import { CLEAR_URLS, OPEN_MODES } from "./command-line-refusals.ts";
import { COMPRESSED_VIOLATIONS } from "./compressed-frames.ts";
import {
  BAD_CLAIMS,
  BAD_CREDENTIALS,
  BAD_DESTINATIONS,
  BAD_LEASES,
  BAD_REDIRECTS,
  BAD_REQUEST_FORMS,
} from "./credentials-and-targets.ts";
import { DASHBOARD_REQUESTS } from "./dashboard-requests.ts";
import { BAD_REQUESTS, HTTP_HOST_KINDS, RESET, statusAt } from "./http-requests.ts";
import { MALFORMED } from "./malformed-frames.ts";
import { TERMINAL_PLACES } from "./terminal-places.ts";
import { CLOBBERING, MARKDOWN, MARKUP, shownOf, TERMINAL_TEXTS } from "./text-of-others.ts";
import { REFUSED_UPGRADES, VIOLATIONS } from "./websocket-violations.ts";

const table = (columns: readonly string[], rows: readonly (readonly string[])[]): string =>
  [columns, columns.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

const SERVERS: readonly (readonly [name: string, limits: HostLimits])[] = [
  ["`arcp serve`, Node, Express, Fastify, Hono on Node", {}],
  ["Hono elsewhere", HONO_FETCH],
  ["Bun", BUN],
];
const SERVER_NAMES = SERVERS.map(([name]) => name);
const SWITCHED = 101;

const statusOf = (status: number): string => (status === SWITCHED ? "taken" : String(status));

/** A request that asks for no upgrade is the host's own. */
const upgrades = REFUSED_UPGRADES.filter(([name]) => name !== "a POST").map(([name, , status]) => [
  name,
  ...SERVERS.map(([, { refusals }]) => statusOf(refusals?.[name] ?? status)),
]);

const violations = VIOLATIONS.map(([name, , code]) => [
  name,
  ...SERVERS.map(([, { bears }]) => (bears?.includes(name) ? "taken" : String(code))),
]);

const COMPRESSING = SERVERS.filter(([, { compresses }]) => compresses ?? true).map(([name]) => name);
const compressed = COMPRESSED_VIOLATIONS.map(([name, , code]) => [
  name,
  "1002",
  ...COMPRESSING.map(() => String(code)),
]);

const requests = BAD_REQUESTS.map((request) => [
  request.name.replaceAll("__", "\\_\\_"),
  ...HTTP_HOST_KINDS.map((kind) => {
    const status = statusAt(request, kind);
    return status === undefined ? "" : status === RESET ? "reset" : String(status);
  }),
]);

const HTTP_SERVERS: Readonly<Record<(typeof HTTP_HOST_KINDS)[number], string>> = {
  "HTTP/1.1": "`arcp serve`, Node, Express, Fastify",
  "HTTP/2": "`node:http2`",
  Fetch: "Hono, functions",
  Bun: "Bun",
};

/** Text of any letters, in ASCII. */
const inAscii = (text: string): string =>
  text.replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** The page as a whole. */
export const badInputPage = (): string => `# Hostile input, and what comes of it

What is sent here is sent by the tests, to every transport, adapter and server of HTTP that is named. The page is made of the same
tables (\`npm run bad-input -- --write\`; without \`--write\` it is printed), so it says what is so. What is defended, and why, is in
[SECURITY.md](../SECURITY.md); the bounds of agents' requests are in [leases.md](leases.md).

None of it changes anything else: the tests look each time whether others are served as before.

## Requests for a WebSocket

The status of the answer, after which the connection is over. "Taken": what is wrong cannot be seen where requests are those of the
Fetch standard, or is put right by the host before.

${table(["What is wrong", ...SERVER_NAMES], upgrades)}

## Bytes on a WebSocket

The code of the close. "Taken": the host puts fragments together by itself, up to the size of a frame.

${table(["What is sent", ...SERVER_NAMES], violations)}

## Compressed frames on a WebSocket

The code of the close: where nothing was agreed on, as it is by default, and where [compression](hosting.md#compression) is on. The
memory of the server does not grow by what would come of them.

${table(["What is sent", "Off", ...COMPRESSING.map((name) => `On: ${name}`)], compressed)}

## Requests over HTTP

The status of the answer, which is a problem (RFC 9457) or the runtime's own envelope. Empty: it cannot be said there. No
answer lets a foreign page read it.

${table(["What is wrong", ...HTTP_HOST_KINDS.map((kind) => HTTP_SERVERS[kind])], requests)}

## Streams that nobody reads

Over every server of HTTP alike, for the events of a connection and of REST: when 2 MiB wait, nothing more is written. After 60 s in which
nothing was read the stream breaks off, without an end. The session of the connection can be taken up again, after the last event that was
read.

## Frames in a session

Over every transport and adapter alike: \`session.error\` with \`INVALID_REQUEST\`, and the session goes on. The twentieth in a row ends
the connection (4400); the session can be resumed. Before the welcome the first one ends it.

${MALFORMED.map(([name]) => `- ${name.replaceAll("__", "\\_\\_")}`).join("\n")}

## Credentials in a hello

Over every transport and adapter alike: \`session.error\` with \`UNAUTHENTICATED\`, and the end of the connection, 4401 on WebSockets, 401
over HTTP. Credentials in a request's header are above; issuers that are slow, and certificates, in
[authentication.md](authentication.md).

${BAD_CREDENTIALS.map(([name]) => `- ${name}`).join("\n")}
${BAD_INTROSPECTIONS.map(([what]) => `- an OAuth 2.0 token of which the issuer ${what}`).join("\n")}

## Claims to a session

Over every transport and adapter alike. \`RESUME_WINDOW_EXPIRED\` is one answer, to the byte, whatever was wrong, and closes with 4410.
None of it takes the session from its owner.

${table(
  ["What is claimed, or shown", "Code"],
  BAD_CLAIMS.map(([name, , code]) => [name, `\`${code}\``]),
)}

## Destinations of an agent

What an agent gets, whatever its client came by, that may go to

${BAD_DESTINATIONS.map(
  ([lease, urls]) =>
    `\`${lease}\`:\n\n${table(
      ["URL", "Code"],
      urls.map(([url, code]) => [`\`${inAscii(url)}\``, `\`${code}\``]),
    )}`,
).join("\n\n")}

A job whose lease would have everything is refused with \`INVALID_REQUEST\`: ${BAD_LEASES.map((lease) => `\`${lease}\``).join(", ")}.

Where the URL is its own, and the answer leads elsewhere:

${table(
  ["Location", "Code"],
  BAD_REDIRECTS.map(([location, code]) => [`\`${location.replace("{inside}", "http://127.0.0.1:9")}\``, `\`${code}\``]),
)}

Where the URL is its own, and the request is not one that it may make:

${table(
  ["Request", "Code"],
  BAD_REQUEST_FORMS.map(([name, , code]) => [name, `\`${code}\``]),
)}

## Text on a terminal, and in logs

What an agent, a client or a runtime says is text: what a terminal would act on, and what nobody would see, is shown by its number. A
line break in it begins no line of the program's own. That is so in ${TERMINAL_PLACES.map(({ name }) => name).join("; ")}.
JSON, which is for programs, says the same with JSON's escapes.

${table(
  ["What it would do", "What is said", "What is shown"],
  TERMINAL_TEXTS.map((said) => [said.name, `\`${inAscii(said.text)}\``, `\`${shownOf(said)}\``]),
)}

Markup is shown as it is: ${MARKUP.map(({ text }) => `\`${text}\``).join(", ")}.

## Whom a client shows its token, and files of a command

Before a byte is sent, these are refused: ${CLEAR_URLS.map((url) => `\`${url}\``).join(", ")}. So is, for WebSockets and HTTP alike, a
certificate that nobody vouches for or that is another host's; and no redirect is followed.

A file with a secret is refused where it belongs to another user, and with the modes ${OPEN_MODES.map((mode) => `\`${mode}\``).join(", ")}, which also counts for
what a link leads to. A file that a result is saved to takes the place of a link; no link and no file that lies where it is written
first is followed, or written over.

## A runtime that never stops sending

To a client a message of more than 64 MiB, a line without an end as well, ends the session: \`FrameTooLargeError\`, for good, since the
next connection would meet it again. Of events that come faster than they are taken, 1,024 wait in a client; then it reads no further,
and acknowledges what was taken. \`arcp tail\` prints 80 MiB of them, each once and in order, in a process that has 48 MiB for objects.

## Text in the dashboard

The same texts are shown in the same way on every page of the dashboard, in events, questions, results and envelopes, and no request
leaves because of them. Of Markdown, in which results are shown, links lead nowhere and images are not fetched; both say where they
would lead:

${table(
  ["What Markdown has", "What is said", "What is shown"],
  MARKDOWN.map(({ name, text, ...rest }) => [
    name,
    `\`${text.replaceAll("\n", "\\n")}\``,
    `\`${shownOf({ name, text, ...rest })}\``,
  ]),
)}

Members of payloads and of schemas are no names of the page, whatever they are called: ${CLOBBERING.map((name) => `\`${name}\``).join(", ")}.
No page of others has the dashboard in a frame, or keeps a hand on a window that it has opened with it.

## Requests for the dashboard

The status of the answer. All of them, refusals and errors too, have the
[policy of the page](dashboard.md#what-an-agent-cannot-do-to-you), are kept by nobody, and let no foreign page read them; what headers
say of the way here (\`X-Forwarded-…\`, \`Forwarded\`) changes nothing. Without a Host it is Node that answers, with no more than a status.

${table(
  ["What is asked", "Status"],
  DASHBOARD_REQUESTS.map(({ name, status }) => [name, String(status)]),
)}
`;
