import { createLogger } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";

function logged(fields: object, message?: string): Record<string, unknown> {
  const lines: string[] = [];
  createLogger((line) => lines.push(line)).info(fields, message);
  return JSON.parse(lines[0] ?? "{}");
}

describe("a log", () => {
  test("hides members that hold secrets by their names, however deep and however spelt", () => {
    covers("V11-6.2-14", "V11-9.8.2-02");
    const line = logged({
      headers: { Authorization: "canary", "x-api-key": "canary", accept: "text/plain" },
      session: [{ resume_token: "canary", accessToken: "canary", client_secret: { value: "canary" } }],
      tokens: 12,
      token: 34,
    });
    expect(JSON.stringify(line)).not.toContain("canary");
    expect(line).toMatchObject({
      headers: { Authorization: "[redacted]", accept: "text/plain" },
      tokens: 12,
      token: 34,
    });
  });

  test.each([
    ["Authorization: Bearer canary.canary", "Authorization: Bearer [redacted]"],
    [`resume with rt_${"c0ffee".repeat(8)} failed`, "resume with [redacted] failed"],
    ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2ln", "[redacted]"],
    ["postgres://user:canary@db.example/arcp", "postgres://[redacted]@db.example/arcp"],
    ["the key sk-canary1234567890 is dead", "the key [redacted] is dead"],
    ["a bearer of bad news", "a bearer of bad news"],
    ["mail me@example.com about https://example.com/a@b", "mail me@example.com about https://example.com/a@b"],
  ])("hides what has the form of a secret: %s", (text, shown) => {
    expect(logged({ text }, text)).toMatchObject({ text: shown, msg: shown });
    const { err } = logged({ err: new Error(text, { cause: new Error(text) }) }) as { err: Record<string, unknown> };
    expect(err).toMatchObject({ message: shown, cause: { message: shown } });
    expect(String(err["stack"])).toContain(shown);
  });

  test("is written whatever it is about", () => {
    const cycle: Record<string, unknown> = { name: "cycle" };
    cycle["self"] = cycle;
    const trap = {
      get thrower(): string {
        throw new Error("no");
      },
    };
    expect(logged({ cycle, trap, n: 1n, good: { a: 1 } }, "still told")).toMatchObject({
      ...{ cycle: "cannot be written", trap: "cannot be written", n: "1", good: { a: 1 }, msg: "still told" },
    });
  });
});
