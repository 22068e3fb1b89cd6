import type { JobEvent } from "@arcp/client";
import { ARCPError, CancelledError, type JobId } from "@arcp/core";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { escapeLine, escapeText, toSafeJson } from "../../packages/sdk/src/cli/escape.ts";
import { bar, duration } from "../../packages/sdk/src/cli/gauge.ts";
import type { WatchedJob } from "../../packages/sdk/src/cli/job-view.ts";
import { cutToWidth, displayWidth, fitToWidth, Terminal } from "../../packages/sdk/src/cli/terminal.ts";
import { TerminalView } from "../../packages/sdk/src/cli/terminal-view.ts";
import { Screen } from "./screen.ts";

afterEach(() => {
  vi.useRealTimers();
});

describe("text of others", () => {
  it("shows what a terminal would act on", () => {
    expect(escapeText("\u001b]8;;http://evil.test\u0007click")).toBe(String.raw`\u{1b}]8;;http://evil.test\u{7}click`);
    expect(escapeText("\u009b31m\u007f\r\u0008")).toBe(String.raw`\u{9b}31m\u{7f}\u{d}\u{8}`);
    expect(escapeText("pay 10\u202e00\u2066\u200b\ufeff\u00ad\u{e0041}")).toBe(
      String.raw`pay 10\u{202e}00\u{2066}\u{200b}\u{feff}\u{ad}\u{e0041}`,
    );
    expect(escapeText("\ud800 alone")).toBe(String.raw`\u{d800} alone`);
    expect(escapeText("tab\tand\r\nline 日本語 é 😀")).toBe("tab\tand\nline 日本語 é 😀");
    expect(escapeLine("a\nb\tc")).toBe(String.raw`a\nb\tc`);
    // Accents without a letter, and those that pile up.
    expect(escapeText("\u0301a\n\u0301e\u0301")).toBe(`\\u{301}a\n\\u{301}e\u0301`);
    expect(escapeText(`z${"\u0301".repeat(6)}`)).toBe(`z${"\u0301".repeat(4)}\\u{301}\\u{301}`);
  });

  it("never lets a control or a bidirectional mark through, whatever it is given", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(escapeText(text)).not.toMatch(
          /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/,
        );
        expect(escapeText(text).isWellFormed()).toBe(true);
      }),
    );
  });

  it("is safe as JSON too, and parses to the same", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const json = toSafeJson({ text });
        expect(json).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\ufeff]/);
        expect(JSON.parse(json)).toEqual({ text });
      }),
    );
  });

  it("is cut to columns, not to characters", () => {
    expect(displayWidth("日本語 ok\u001b[31m!\u001b[39m")).toBe(10);
    expect(displayWidth("e\u0301")).toBe(1);
    expect(cutToWidth("日本語日本語", 7)).toBe("日本語…");
    expect(cutToWidth("short", 5)).toBe("short");
    expect([fitToWidth("日本語", 5), fitToWidth("ab", 4), fitToWidth("ab", 0)]).toEqual(["日本…", "ab  ", ""]);
    expect(cutToWidth("\u001b[31mred and long\u001b[39m", 6)).toBe("\u001b[31mred a…\u001b[0m");
  });
});

describe("a terminal", () => {
  it("keeps the live lines below what is printed, and removes them at the end", async () => {
    const screen = new Screen();
    const terminal = new Terminal(screen, {});
    terminal.setLive(["live 1", "live 2"]);
    await terminal.print("printed");
    expect(screen.lines).toEqual(["printed", "live 1", "live 2"]);
    expect(screen.isCursorShown).toBe(false);
    terminal.setLive(["live 3"]);
    expect(screen.lines).toEqual(["printed", "live 3"]);
    terminal.close();
    expect(screen.lines).toEqual(["printed"]);
    expect(screen.isCursorShown).toBe(true);
  });

  it("takes back as many rows as a narrower window shows", () => {
    const screen = new Screen(40);
    const terminal = new Terminal(screen, {});
    const written = vi.spyOn(screen, "write");
    terminal.setLive(["x".repeat(30), "y"]);
    Object.defineProperty(screen, "columns", { value: 10 });
    terminal.setLive([]);
    expect(written.mock.lastCall?.[0]).toBe("\u001b[4A\r\u001b[J");
    expect(screen.isWrapping).toBe(true);
  });

  it("keeps the screen free while it is held", async () => {
    const screen = new Screen();
    const terminal = new Terminal(screen, {});
    terminal.setLive(["live"]);
    terminal.hold();
    await terminal.print("later");
    terminal.setLive(["changed"]);
    expect(screen.lines).toEqual([]);
    expect(screen.isCursorShown).toBe(true);
    terminal.release();
    expect(screen.lines).toEqual(["later", "changed"]);
  });

  it("makes whoever prints wait, when it is slow and when too much is held back", async () => {
    const screen = new Screen();
    const terminal = new Terminal(screen, {});
    let isDone = false;
    screen.isFull = true;
    const slow = terminal.print("slow").then(() => {
      isDone = true;
    });
    await Promise.resolve();
    expect(isDone).toBe(false);
    screen.drain();
    await slow;
    terminal.hold();
    for (let line = 1; line < 500; line += 1) await terminal.print("held");
    const last = terminal.print("last");
    terminal.release();
    await last;
    expect(screen.lines).toHaveLength(501);
  });

  it("paints nothing over where it cannot", async () => {
    const screen = new Screen();
    for (const [stream, environment] of [
      [screen, { TERM: "dumb" }],
      [{ write: (text: string) => screen.write(text), once: () => {} }, {}],
    ] as const) {
      const terminal = new Terminal(stream, environment);
      terminal.setLive(["live"]);
      terminal.close();
      expect(screen.lines).toEqual([]);
    }
  });
});

describe("bars", () => {
  it("are as wide as they are told to be", () => {
    expect(bar(0, 4)).toBe("░░░░");
    expect(bar(0.5, 4)).toBe("██░░");
    expect(bar(0.55, 4)).toBe("██▎░");
    expect(bar(7, 4)).toBe("████");
    expect([bar(-1, 3), bar(0.99, 3).length]).toEqual(["░░░", 3]);
    expect([duration(5_000), duration(65_000), duration(3_725_000)]).toEqual(["0:05", "1:05", "1:02:05"]);
  });
});

const JOB: WatchedJob = {
  jobId: "job_1",
  agent: "agent@1.0.0",
  lease: { "cost.budget": ["USD:5"], "fs.read": ["/data/**"] },
  expiresAt: "2026-01-01T00:00:00Z",
  budget: { USD: 5 },
  traceId: undefined,
  relation: "submitted",
};
const event = (kind: string, body: object): JobEvent =>
  ({ kind, body, jobId: "job_1" as JobId, seq: 1, ts: undefined }) as JobEvent;

describe("a job on a terminal", () => {
  function watched(options: { readonly isLive?: boolean; readonly hasColors?: boolean } = {}) {
    vi.useFakeTimers({ now: Date.parse("2025-12-31T23:00:00Z") });
    const screen = new Screen(100, options.hasColors ?? false);
    let now = 0;
    const terminal = new Terminal(screen, options.isLive === false ? { TERM: "dumb" } : {});
    const view = new TerminalView(terminal, { now: () => now });
    return {
      screen,
      view,
      advance: (ms: number) => {
        now += ms;
        vi.advanceTimersByTime(ms);
      },
    };
  }

  it("has a bar, a gauge and the state of the connection below its events", async () => {
    const { screen, view, advance } = watched();
    await view.onJob(JOB);
    expect(screen.lines.slice(0, 4)).toEqual([
      "● job_1 agent@1.0.0",
      "  cost.budget: USD:5",
      "  fs.read: /data/**",
      "  until 2026-01-01T00:00:00Z",
    ]);
    await view.onEvent(event("status", { phase: "read", message: "Reading" }));
    await view.onEvent(event("progress", { current: 30, total: 120, units: "files", message: "a.ts" }));
    await view.onEvent(event("metric", { name: "cost.llm", value: 1.25, unit: "USD" }));
    await view.onEvent(event("metric", { name: "cost.budget.remaining", value: 3.75, unit: "USD" }));
    advance(61_000);
    expect(screen.lines.slice(4)).toEqual([
      "           status   read: Reading",
      "⠋ read ██████░░░░░░░░░░░░░░░░░░ 1:01 25% 30/120 files · a.ts",
      "  budget ██████████████████░░░░░░ 3.75 of 5 USD left",
      "  lease ends in 58:59",
    ]);
    view.onConnection({ phase: "reconnecting", attempt: 2, delayMs: 1, cause: new CancelledError("lost") });
    expect(screen.lines.slice(5, 6)).toEqual(["  connection lost, reconnecting…"]);
    expect(screen.lines.at(-1)).toBe("  reconnecting… attempt 2");
    view.onConnection({ phase: "connected", sessionId: "sess_1", isResumed: true });
    expect(screen.lines.slice(6, 7)).toEqual(["  resumed, nothing missed"]);
    await view.onEnd({ status: "success", result: { finalStatus: "success", result: { a: 1 } }, savedTo: undefined });
    view.close();
    expect(screen.lines.slice(7)).toEqual(["", "{", '  "a": 1', "}", "", "✔ success after 61.0 s"]);
    expect(screen.isCursorShown).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("folds thoughts, pairs calls with their results, and shows what goes on below", async () => {
    const { screen, view, advance } = watched();
    await view.onJob({ ...JOB, lease: {}, expiresAt: "2025-12-31T23:00:30Z" });
    const at = (second: number, shown: JobEvent): JobEvent => ({ ...shown, ts: `2025-12-31T23:00:0${second}Z` });
    await view.onEvent(event("thought", { text: "first\u001b[2J" }));
    await view.onEvent(event("thought", { text: "second" }));
    await view.onEvent(at(1, event("tool_call", { tool: "search", args: { q: 1 }, call_id: "c1" })));
    await view.onEvent(event("tool_call", { tool: "slow", call_id: "c2" }));
    await view.onChild({
      jobId: "job_2",
      parentJobId: "job_1",
      delegateId: "d",
      agent: "b",
      lease: {},
      expiresAt: undefined,
    });
    view.showBelow(() => ["below"]);
    advance(3_000);
    expect(screen.lines.slice(3)).toEqual([
      expect.stringContaining("running 0:03"),
      "  lease ends in 0:27",
      "  thinks (2): second",
      '  → 0:02 search {"q":1}',
      "  → slow",
      "  ↳ 0:03 b job_2",
      "below",
    ]);
    await view.onEvent(at(3, event("tool_result", { call_id: "c1", result: [1] })));
    expect(screen.lines.slice(3, 5).map((line) => line.trimStart())).toEqual([
      String.raw`thought  first\u{1b}[2J (2 thoughts, 15 characters)`,
      expect.stringMatching(/tool {5}search \{"q":1\} → \[1\] · 2\.0 s$/),
    ]);
    expect(await view.toggleThoughts()).toBe(false);
    await view.onEvent(event("thought", { text: "in full" }));
    expect(screen.lines[5]).toMatch(/thought {2}in full$/);
    await view.onDetach("job_1");
    // A call that has no result is not lost.
    expect(screen.text).toMatch(/tool {5}→ slow\ndetached/);
    view.close();
  });

  it("has lines instead of a bar where nothing can be painted over", async () => {
    const { screen, view, advance } = watched({ isLive: false });
    await view.onJob({ ...JOB, lease: {}, expiresAt: undefined });
    for (let step = 1; step <= 10; step += 1) {
      await view.onEvent(event("progress", { current: step, total: 10 }));
      advance(300);
    }
    expect(screen.lines.slice(1)).toEqual([1, 5, 9, 10].map((step) => `           progress ${step * 10}% ${step}/10`));
    view.close();
  });

  it("shows every kind of event, and indents what follows a line break", async () => {
    const { screen, view } = watched({ isLive: false });
    const failed = { call_id: "c1", error: { code: "PERMISSION_DENIED", message: "no", retryable: false } };
    for (const shown of [
      event("log", { level: "warn", message: "two\n✔ success", attributes: { a: 1 } }),
      event("thought", { text: "hm" }),
      event("tool_call", { tool: "search", args: { q: "x" }, call_id: "c1" }),
      event("tool_result", { call_id: "c1", result: [1] }),
      event("tool_result", failed),
      event("artifact_ref", { uri: "s3://x", content_type: "text/plain", byte_size: 1234 }),
      event("delegate", { agent: "other", input: {} }),
      event("metric", { name: "files", value: 1234.5, unit: "files" }),
      { ...event("vendor", { b: 2 }), name: "x-vendor.acme.note" } as JobEvent,
    ]) {
      await view.onEvent(shown);
    }
    expect(screen.lines.map((line) => line.trimStart())).toEqual([
      "warn     two",
      '✔ success {"a":1}',
      "thought  hm",
      'tool     → search {"q":"x"}',
      "tool     ← c1 [1]",
      "tool     ← c1 PERMISSION_DENIED: no",
      "artifact s3://x text/plain 1.2 kB",
      "delegate other {}",
      "metric   files 1,234.5 files",
      'event    x-vendor.acme.note {"b":2}',
    ]);
    expect(screen.lines[1]).toMatch(/^ {21}✔/);
  });

  it("says of a refusal what would have allowed it", async () => {
    const { screen, view } = watched({ isLive: false });
    const refused = (code: string, details: object) =>
      event("tool_result", { call_id: "c1", error: { code, message: "no", retryable: false, details } });
    for (const shown of [
      refused("PERMISSION_DENIED", { capability: "fs.read", target: "/etc/x", patterns: [], needed: "/etc/x\n✔ fine" }),
      refused("PERMISSION_DENIED", { capability: "fs.read", target: "/*", patterns: [] }),
      refused("BUDGET_EXHAUSTED", { currency: "USD", remaining: 0 }),
      refused("LEASE_EXPIRED", { expires_at: "2026-01-01T00:00:00Z" }),
      refused("LEASE_SUBSET_VIOLATION", { capability: "tool.call", pattern: "mail.*", parent_patterns: [] }),
      refused("LEASE_SUBSET_VIOLATION", { capability: "cost.budget", currency: "USD", remaining: 2 }),
    ]) {
      await view.onEvent(shown);
    }
    const error = new ARCPError("BUDGET_EXHAUSTED", "used up", { details: { currency: "USD", remaining: 0 } });
    await view.onEnd({ status: "error", error });
    expect(screen.lines.map((line) => line.trimStart())).toEqual([
      "denied   ← c1 PERMISSION_DENIED: no",
      String.raw`it would take fs.read: /etc/x\n✔ fine`,
      "tool     ← c1 PERMISSION_DENIED: no",
      "denied   ← c1 BUDGET_EXHAUSTED: no",
      "it would take more than 0 USD",
      "denied   ← c1 LEASE_EXPIRED: no",
      "it would take a lease beyond 2026-01-01T00:00:00Z",
      "denied   ← c1 LEASE_SUBSET_VIOLATION: no",
      "the parent would need tool.call: mail.*",
      "denied   ← c1 LEASE_SUBSET_VIOLATION: no",
      "the parent has 2 USD",
      expect.stringMatching(/^✖ error after .* · BUDGET_EXHAUSTED: used up$/),
      "it would take more than 0 USD",
    ]);
  });

  it("colours levels and outcomes where there are colours", async () => {
    const screen = new Screen(80, true);
    const written = vi.spyOn(screen, "write");
    const view = new TerminalView(new Terminal(screen, { TERM: "dumb" }));
    await view.onEvent(event("log", { level: "error", message: "bad" }));
    await view.onEnd({ status: "cancelled", error: new CancelledError("stop\u001b[2J") });
    expect(written.mock.calls[0]?.[0]).toContain("\u001b[31merror   \u001b[39m bad");
    expect(screen.lines.at(-1)).toMatch(
      /^\u001b\[31m✖ cancelled\u001b\[39m after \d+\.\d s · CANCELLED: stop\\u\{1b\}\[2J$/,
    );
  });

  it("says how to find the job again", async () => {
    const { screen, view } = watched();
    await view.onJob({ ...JOB, lease: {} });
    await view.onDetach("job_1");
    view.close();
    expect(screen.lines.slice(-2)).toEqual(["detached: the job goes on. Watch it again with", "  arcp watch job_1"]);
  });

  it("escapes the job's own names, phases, units and summaries", async () => {
    const { screen, view, advance } = watched();
    const evil = "\u001b[1A\u202e";
    await view.onJob({ ...JOB, agent: evil, lease: { [evil]: [evil], "cost.budget": ["USD:1"] } });
    await view.onEvent(event("status", { phase: evil }));
    await view.onEvent(event("progress", { current: 1, units: evil, message: `${evil}\n` }));
    advance(1_000);
    await view.onEnd({
      status: "success",
      result: { finalStatus: "success", result: evil, summary: evil },
      savedTo: evil,
    });
    view.close();
    expect(screen.text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  });
});
