/** Requests that are refused by the dashboard, and by its sign-in at `auth/`, with their statuses. */
export interface DashboardRequest {
  readonly name: string;
  /** Default: GET. */
  readonly method?: string;
  /** Default: the page itself. */
  readonly path?: string;
  /**
   * In addition to, or by name in the place of the dashboard's own `Host`; for POSTs of its own `Origin` and `Content-Type`, too.
   * `undefined` leaves one out.
   */
  readonly headers?: readonly (readonly [name: string, value: string | undefined])[];
  readonly body?: string;
  readonly status: number;
  /** The server itself answers, with nothing that a browser would show. */
  readonly isBare?: true;
}

/** Stands for the dashboard's own host, with its port. */
export const OWN_HOST = "{host}";

const CHANGES = ["auth/begin", "auth/token", "auth/end"] as const;

const foreign: readonly DashboardRequest[] = CHANGES.flatMap((path) => [
  { name: `${path} by another page`, method: "POST", path, headers: [["origin", "https://evil.test"]], status: 403 },
  { name: `${path} by a page of no origin`, method: "POST", path, headers: [["origin", "null"]], status: 403 },
  { name: `${path} by who does not say`, method: "POST", path, headers: [["origin", undefined]], status: 403 },
  {
    name: `${path} by another port of this machine`,
    ...{ method: "POST", path, headers: [["origin", "http://127.0.0.1:1"]], status: 403 },
  },
  {
    name: `${path} as the browser says, from another site`,
    ...{ method: "POST", path, headers: [["sec-fetch-site", "cross-site"]], status: 403 },
  },
  {
    name: `${path} as the browser says, from a neighbour`,
    ...{ method: "POST", path, headers: [["sec-fetch-site", "same-site"]], status: 403 },
  },
  {
    name: `${path} by a form of text`,
    ...{ method: "POST", path, headers: [["content-type", "text/plain"]], status: 415 },
  },
  {
    name: `${path} by a form`,
    ...{ method: "POST", path, headers: [["content-type", "application/x-www-form-urlencoded"]], status: 415 },
  },
  {
    name: `${path} by a form with files`,
    ...{ method: "POST", path, headers: [["content-type", "multipart/form-data; boundary=x"]], status: 415 },
  },
  { name: `${path} of no type`, method: "POST", path, headers: [["content-type", undefined]], status: 415 },
  { name: `${path} by GET`, path, headers: [["x-http-method-override", "POST"]], status: 405 },
  {
    name: `${path}, may another page ask`,
    method: "OPTIONS",
    path,
    headers: [
      ["origin", "https://evil.test"],
      ["access-control-request-method", "POST"],
      ["access-control-request-headers", "content-type"],
    ],
    status: 405,
  },
]);

export const DASHBOARD_REQUESTS: readonly DashboardRequest[] = [
  { name: "a foreign Host", headers: [["host", "evil.test"]], status: 421 },
  { name: "a Host that begins like ours", headers: [["host", "127.0.0.1.evil.test"]], status: 421 },
  { name: "a Host with a name before it", headers: [["host", "127.0.0.1@evil.test"]], status: 421 },
  {
    name: "a foreign Host, passed on",
    headers: [
      ["host", "evil.test"],
      ["x-forwarded-host", OWN_HOST],
      ["x-forwarded-for", "127.0.0.1"],
    ],
    status: 421,
  },
  { name: "a foreign Host, for what signs in", path: "auth/callback", headers: [["host", "evil.test"]], status: 421 },
  {
    name: "two Hosts",
    headers: [
      ["host", OWN_HOST],
      ["Host", "evil.test"],
    ],
    status: 400,
  },
  {
    name: "the same Host twice",
    headers: [
      ["host", OWN_HOST],
      ["Host", OWN_HOST],
    ],
    status: 400,
  },
  { name: "no Host", headers: [["host", undefined]], status: 400, isBare: true },
  { name: "an empty Host", headers: [["host", ""]], status: 400 },
  { name: "the page by POST", method: "POST", status: 405 },
  { name: "a method in a header", method: "POST", headers: [["x-http-method-override", "GET"]], status: 405 },
  {
    name: "may another page read it",
    method: "OPTIONS",
    headers: [
      ["origin", "https://evil.test"],
      ["access-control-request-method", "GET"],
    ],
    status: 405,
  },
  { name: "a file that is not there", path: "assets/none.js", status: 404 },
  { name: "a file above the others", path: "assets/..%2f..%2fpackage.json", status: 404 },
  { name: "a file with a NUL in its name", path: "assets/x%00.js", status: 404 },
  { name: "a file named as a method", path: "assets/constructor", status: 404 },
  { name: "what does not sign in", path: "auth/constructor", status: 404 },
  { name: "a way back that nobody has begun", path: "auth/callback?code=x&state=y", status: 400 },
  {
    name: "a way back with markup in it",
    ...{ path: "auth/callback?error=%3Cscript%3Ealert(1)%3C/script%3E&state=%22%3E", status: 400 },
  },
  { name: "a sign-in of more than 4 KiB", method: "POST", path: "auth/begin", body: "x".repeat(5_000), status: 413 },
  { name: "a sign-in that is no JSON", method: "POST", path: "auth/begin", body: "{", status: 400 },
  ...foreign,
];
