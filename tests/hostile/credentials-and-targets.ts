/** What is refused inside the protocol, whatever it came over: credentials, and destinations of agents. */

/** What a hello may show, and nobody is let in by. */
export const BAD_CREDENTIALS: readonly (readonly [name: string, auth: unknown, code: string])[] = [
  ["no credentials", undefined, "UNAUTHENTICATED"],
  ["a token that nobody has", { scheme: "bearer", token: "guessed" }, "UNAUTHENTICATED"],
  ["a token in other letters", { scheme: "bearer", token: "ALICE" }, "UNAUTHENTICATED"],
  ["a token with a letter that looks alike", { scheme: "bearer", token: "\u0430lice" }, "UNAUTHENTICATED"],
  ["a JWT of alg none", { scheme: "bearer", token: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9." }, "UNAUTHENTICATED"],
  ["a certificate that the connection has not", { scheme: "mtls", fingerprint: "sha256:00" }, "UNAUTHENTICATED"],
  ["a scheme that nobody takes", { scheme: "basic", token: "alice" }, "UNAUTHENTICATED"],
  ["the scheme none", { scheme: "none" }, "UNAUTHENTICATED"],
];

/** Where an agent may not go that may go to `https://api.example.com/v1/**`. */
export const BAD_DESTINATIONS: readonly (readonly [url: string, code: string])[] = [
  ["http://2130706433/", "PERMISSION_DENIED"],
  ["http://0x7f.1/", "PERMISSION_DENIED"],
  ["http://0251.0376.0251.0376/", "PERMISSION_DENIED"],
  ["http://[::ffff:127.0.0.1]/", "PERMISSION_DENIED"],
  ["http://[64:ff9b::a9fe:a9fe]/", "PERMISSION_DENIED"],
  ["http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "PERMISSION_DENIED"],
  ["https://api.example.com@evil.test/v1/", "INVALID_REQUEST"],
  ["https://evil.test\\@api.example.com/v1/", "PERMISSION_DENIED"],
  ["https://evil.test#.example.com/x", "PERMISSION_DENIED"],
  ["https://api.example.com/v1/../admin", "PERMISSION_DENIED"],
  ["https://api.example.com/v1/%2e%2e/admin", "PERMISSION_DENIED"],
  ["https://api.example.com/v1/..%2fadmin", "PERMISSION_DENIED"],
  ["https://api.example.com\u3002evil.test/", "PERMISSION_DENIED"],
  ["https://\u0430pi.example.com/v1/x", "PERMISSION_DENIED"],
  ["https://api.example.com:444/v1/x", "PERMISSION_DENIED"],
  ["https://api.example.com./v1/x", "PERMISSION_DENIED"],
  ["http://api.example.com/v1/x", "PERMISSION_DENIED"],
  ["file:///etc/passwd", "PERMISSION_DENIED"],
  ["javascript:alert(1)", "PERMISSION_DENIED"],
];
