/** What is refused inside the protocol, whatever it came over: credentials, claims to sessions, and destinations of agents. */
import type { JsonObject } from "@arcp/core";
import { BAD_JWTS, type Forger } from "./bad-tokens.ts";

type Made = unknown | Promise<unknown>;

const bearer = (token: string) => (): object => ({ scheme: "bearer", token });

/** What a hello may show, and nobody is let in by: `UNAUTHENTICATED`. */
export const BAD_CREDENTIALS: readonly (readonly [name: string, auth: (forger: Forger) => Made])[] = [
  ["no credentials", () => undefined],
  ["a token that nobody has", bearer("guessed")],
  ["a token in other letters", bearer("ALICE")],
  ["a token with a letter that looks alike", bearer("\u0430lice")],
  ["a token with a letter that becomes another in lower case", bearer("mal\u212aory")],
  ["a JWT for a token", async (forger) => ({ scheme: "bearer", token: await forger.key.sign(forger.claims()) })],
  ["a certificate that the connection has not", () => ({ scheme: "mtls", fingerprint: "sha256:00" })],
  ["a scheme that nobody takes", () => ({ scheme: "basic", token: "alice" })],
  ["the scheme none", () => ({ scheme: "none" })],
  ...BAD_JWTS.map(
    ([what, token]) =>
      [`a JWT ${what}`, async (forger: Forger) => ({ scheme: "signed_jwt", token: await token(forger) })] as const,
  ),
];

/** A session of alice's that lost its connection, and the token of another one. */
export interface CutSession {
  readonly sessionId: string;
  readonly resumeToken: string;
  readonly otherToken: string;
  readonly lastEventSeq: number;
}

const NOBODYS = "sess_00000000000000000000000000";
const FORGED = `rt_${"0".repeat(64)}`;
const UNKNOWN = "RESUME_WINDOW_EXPIRED";

/** How a session may be claimed, and is not given. Who is refused with the first code is not told what was wrong. */
export const BAD_CLAIMS: readonly (readonly [
  name: string,
  claim: (session: CutSession) => JsonObject,
  code: string,
  token?: string,
])[] = [
  ["a token that is forged", ({ sessionId }) => ({ session_id: sessionId, resume_token: FORGED }), UNKNOWN],
  ["no token", ({ sessionId }) => ({ session_id: sessionId, resume_token: "" }), UNKNOWN],
  [
    "the token in other letters",
    ({ sessionId, resumeToken }) => ({ session_id: sessionId, resume_token: resumeToken.toUpperCase() }),
    UNKNOWN,
  ],
  [
    "the token of another session",
    ({ sessionId, otherToken }) => ({ session_id: sessionId, resume_token: otherToken }),
    UNKNOWN,
  ],
  ["a session that is not there", () => ({ session_id: NOBODYS, resume_token: FORGED }), UNKNOWN],
  [
    "a session that is not there, with a token that is",
    ({ resumeToken }) => ({ session_id: NOBODYS, resume_token: resumeToken }),
    UNKNOWN,
  ],
  [
    "an event that was never sent",
    ({ sessionId, resumeToken, lastEventSeq }) => ({
      ...{ session_id: sessionId, resume_token: resumeToken, last_event_seq: lastEventSeq + 1 },
    }),
    UNKNOWN,
  ],
  [
    "the token, with somebody else's credentials",
    ({ sessionId, resumeToken }) => ({ session_id: sessionId, resume_token: resumeToken }),
    "UNAUTHENTICATED",
    "mallory",
  ],
];

const DENIED = "PERMISSION_DENIED";
const INVALID = "INVALID_REQUEST";
const all = (code: string, ...urls: readonly string[]) => urls.map((url) => [url, code] as const);
const onHosts = (...hosts: readonly string[]) => all(DENIED, ...hosts.map((host) => `http://${host}/`));

/** Where an agent may not go, by what its lease says. */
export const BAD_DESTINATIONS: readonly (readonly [
  lease: string,
  urls: readonly (readonly [url: string, code: string])[],
])[] = [
  [
    "https://api.example.com/v1/**",
    [
      ...onHosts("2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "0177.0.0.1", "127.0.0.1."),
      ...onHosts("2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"),
      ...onHosts("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]"),
      ...onHosts("[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[fd00:ec2::254]", "[fe80::1]"),
      ...onHosts("\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "127\u30020\u30020\u30021"),
      ...onHosts("\uff11\uff12\uff17.\uff10.\uff10.\uff11"),
      ...all(INVALID, "https://api.example.com@evil.test/v1/", "https://api.example.com:443@evil.test/v1/"),
      ...all(INVALID, "https://api.example.com%2f@evil.test/v1/"),
      ...all(DENIED, "https://evil.test\\@api.example.com/v1/"),
      ...all(DENIED, "https://api.example.com/v1/../admin", "https://api.example.com/v1/%2e%2e/admin"),
      ...all(DENIED, "https://api.example.com/v1/.%2e/admin", "https://api.example.com/v1\\..\\admin"),
      ...all(DENIED, "https://api.example.com/v1/..%2fadmin", "https://api.example.com/v1/..%5cadmin"),
      ...all(DENIED, "https://api.example.com/v1/%252e%252e/admin", "https://api.example.com/v1/..;/admin"),
      ...all(DENIED, "https://api.example.com\t.evil.test/", "https://api.example.com%2eevil.test"),
      ...all(DENIED, "https://api.example.com\u3002evil.test/", "https://\u0430pi.example.com/v1/x"),
      ...all(DENIED, "https://api.example.com:444/v1/x", "https://api.example.com./v1/x"),
      ...all(DENIED, "http://api.example.com/v1/x", "ws://api.example.com/v1/x", "ftp://api.example.com/v1/x"),
      ...all(DENIED, "file:///etc/passwd", "data:text/html,x", "blob:https://api.example.com/x"),
      ...all(DENIED, "javascript:alert(1)"),
    ],
  ],
  [
    "https://*.example.com/**",
    [
      ...all(DENIED, "https://evil.test#.example.com/x", "https://evil.test?.example.com/x"),
      ...all(DENIED, "https://evil.test\\.example.com/x"),
      ...all(INVALID, "https://u:p@evil.test:80#.example.com/x"),
      // Names of it that lead into the machine, alone and beside an address outside, and to the cloud's metadata.
      ...all(DENIED, "https://inside.example.com/", "https://both.example.com/", "https://metadata.example.com/"),
    ],
  ],
];

/** Leases that would have everything: the job is refused, with `INVALID_REQUEST`. */
export const BAD_LEASES: readonly string[] = ["https://**", "https://*/**", "**", "https://*.254/**"];

/** Where the names of a lease lead, in the tests. */
export const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  "inside.example.com": ["127.0.0.1"],
  "both.example.com": ["203.0.113.7", "127.0.0.1"],
  "metadata.example.com": ["169.254.169.254"],
};

/** Where a server may send an agent that may go to its `/to/**` and `/open/*`. `{inside}` is another server's origin. */
export const BAD_REDIRECTS: readonly (readonly [location: string, code: string])[] = [
  ...all(DENIED, "{inside}/", "http://localhost:9/", "http://2130706433:9/", "//127.0.0.1:9/", "\\\\127.0.0.1:9\\"),
  ...all(DENIED, "/secret", "/open/../secret", "/open/%2e%2e%2fsecret", "file:///etc/passwd", "javascript:alert(1)"),
  ...all(INVALID, "http://u:p@127.0.0.1/open/x"),
];

/** What an agent may not ask of a server that it may go to. */
export const BAD_REQUEST_FORMS: readonly (readonly [name: string, init: object, code: string])[] = [
  ["CONNECT", { method: "CONNECT" }, INVALID],
  ["TRACE", { method: "TRACE" }, INVALID],
  ["a method with a line break", { method: "GET / HTTP/1.1\r\nX:" }, INVALID],
  ["a line break in a header", { headers: { a: "b\r\nX-Evil: 1" } }, INVALID],
  ["a Host of its own", { headers: { host: "internal" } }, INVALID],
  ["a Transfer-Encoding of its own", { headers: { "transfer-encoding": "chunked" } }, INVALID],
];
