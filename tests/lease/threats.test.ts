/** Targets, patterns, amounts and times that somebody hostile would send. The ids are those of the threat catalogue. */
import {
  assertLeaseSubset,
  canonicalizeTarget,
  initialBudgetFromLease,
  isLeaseSubset,
  validateLeaseConstraints,
  validateLeaseOp,
  validateLeaseShape,
} from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { cpuMs } from "../support/cpu-time.ts";
import { outcomeOf } from "./outcome.ts";

const BIDI = "\u202e";

function operation(capability: string, pattern: string, target: unknown): string {
  const lease = validateLeaseShape({ [capability]: [pattern] });
  return outcomeOf(() => validateLeaseOp(lease, capability, target));
}

describe("paths under /workspace/app/**", () => {
  const under = (target: unknown) => operation("fs.read", "/workspace/app/**", target);

  test.each([
    "/workspace/app/./.././../etc/passwd",
    "/workspace/app//..//..//etc/passwd",
    "/workspace/app/../../../../../etc/passwd",
    "/workspace/app-evil/secret",
    "/workspace/apps",
    "/proc/self/root/etc/passwd",
  ])("%s is denied", (target) => {
    expect(under(target)).toBe("PERMISSION_DENIED");
  });

  test.each([
    "/workspace/app/%2e%2e/%2e%2e/etc/passwd",
    "/workspace/app/..%2f..%2fetc%2fpasswd",
    "/workspace/app/%252e%252e/x",
    "/workspace/app/..\\..\\etc\\passwd",
    "/workspace/app/a\u0000.txt",
    "/workspace/app/a\nb",
    `/workspace/app/${BIDI}txt.exe`,
    "/workspace/app/\ud800",
    "\\\\?\\C:\\Windows\\win.ini",
    "\\\\server\\share\\x",
    "//server/share/x",
    "C:foo",
    "C:/data/../../Windows",
    "/C:/Windows",
    "/x/../C:/Windows",
    "file:///etc/passwd",
    "x:/data/../../etc/shadow",
    "../../etc/passwd",
    "~/.ssh/id_rsa",
    "$HOME/.ssh",
    "",
    ".",
  ])("%j is no path", (target) => {
    expect(under(target)).toBe("INVALID_REQUEST");
  });

  test.each([
    [["/workspace/app/x"]],
    [{ path: "/workspace/app/x" }],
    [Buffer.from("/workspace/app/x")],
    [new URL("file:///workspace/app/x")],
    [Object.create(null)],
    [null],
    [undefined],
    [0],
  ])("what is no string is no path", (target) => {
    expect(under(target)).toBe("INVALID_REQUEST");
    expect(outcomeOf(() => validateLeaseOp({}, "no.such", target))).toBe("PERMISSION_DENIED");
  });

  test("an endless one is refused at once", () => {
    const startedAt = cpuMs();
    expect(under(`/workspace/app/${"a".repeat(2 ** 20)}`)).toBe("INVALID_REQUEST");
    expect(under(`/workspace/app${"/a".repeat(10_000)}`)).toBe("INVALID_REQUEST");
    expect(cpuMs() - startedAt).toBeLessThan(100);
  });

  test("letters are compared as they are", () => {
    const fullWidthDots = "/workspace/app/\uff0e\uff0e/\uff0e\uff0e/etc/passwd";
    expect(canonicalizeTarget("fs.read", fullWidthDots)).toBe(fullWidthDots);
    expect(under("/workspace/app/\u2024\u2024/x")).toBe("allowed");
    expect(operation("fs.read", "/workspace/app/caf\u00e9", "/workspace/app/cafe\u0301")).toBe("PERMISSION_DENIED");
    expect(operation("fs.read", "/workspace/app/caf\u00e9", "/workspace/app/caf\u00e9")).toBe("allowed");
  });
});

describe("URLs", () => {
  const under = (target: string, pattern = "https://api.example.com/v1/**") => operation("net.fetch", pattern, target);

  test.each([
    "https://api.example.com@evil.test/v1/",
    "https://api.example.com:443@evil.test/v1/",
    "https://api.example.com%2f@evil.test/v1/",
    "https://u:p@evil.test:80#.example.com/x",
    "https://",
    "api.example.com/v1/x",
    "https://api.example.com:99999/v1/x",
  ])("%s is none", (target) => {
    expect(under(target)).toBe("INVALID_REQUEST");
  });

  test.each([
    "https://evil.test\\@api.example.com/v1/",
    "https://api.example.com/v1/../admin",
    "https://api.example.com/v1/%2e%2e/admin",
    "https://api.example.com/v1/.%2e/admin",
    "https://api.example.com/v1\\..\\admin",
    "https://api.example.com/v1/..%2fadmin",
    "https://api.example.com/v1/..%5cadmin",
    "https://api.example.com/v1/%252e%252e/admin",
    "https://api.example.com/v1/..;/admin",
    "https://api.example.com/v1//admin",
    "https://api.example.com/v1/%c0%ae%c0%ae/admin",
    "https://api.example.com/v1/%00",
    "https://api.example.com/v1/%zz",
    "https://api.example.com\t.evil.test/",
    "https://api.example.com%2eevil.test/v1/x",
    "https://api.example.com\u3002evil.test/v1/x",
    "https://\u0430pi.example.com/v1/x",
    "https://api.example.com:444/v1/x",
    "https://api.example.com./v1/x",
    "http://api.example.com/v1/x",
    "file:///etc/passwd",
    "data:text/html,x",
    "blob:https://api.example.com/x",
    "ftp://api.example.com/v1/x",
    "ws://api.example.com/v1/x",
    "javascript:alert(1)",
  ])("%j is denied", (target) => {
    expect(under(target)).toBe("PERMISSION_DENIED");
    // Also where everything on that host is granted, unless it is another address.
    const whole = under(target, "https://api.example.com/**");
    expect(whole).toBe("PERMISSION_DENIED");
  });

  test.each([
    "https://evil.test#.example.com/x",
    "https://evil.test?.example.com/x",
    "https://evil.test\\.example.com/x",
  ])("%s is not below example.com", (target) => {
    expect(under(target, "https://*.example.com/**")).toBe("PERMISSION_DENIED");
  });

  test.each([
    ...["2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "0177.0.0.1", "127.0.0.1."],
    ...["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"],
    ...["[::ffff:127.0.0.1]", "[::127.0.0.1]", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "127\u30020\u30020\u30021"],
  ])("an address spelt %s is denied, even to who may use it", (host) => {
    expect(under(`http://${host}/`, "http://127.0.0.1/**")).toBe("PERMISSION_DENIED");
    expect(under(`http://${host}/`, "http://169.254.169.254/**")).toBe("PERMISSION_DENIED");
  });

  test.each([
    "https://API.EXAMPLE.COM/v1/x",
    "https://api.example.com:443/v1/x",
    "HTTPS://api.example.com:0443/v1/%78",
  ])("%s is the same as another one", (target) => {
    expect(under(target)).toBe("allowed");
    expect(canonicalizeTarget("net.fetch", target)).toBe("https://api.example.com/v1/x");
  });

  test("no pattern covers every host", () => {
    for (const pattern of ["https://**", "https://*/**", "https://*", "**", "*", "https://*.0.0.1/**"]) {
      expect(outcomeOf(() => validateLeaseShape({ "net.fetch": [pattern] }))).toBe("INVALID_REQUEST");
    }
  });
});

describe("names", () => {
  test.each([
    ["D28", "tool.call", "mcp:github/**", "mcp:github/../shell/exec"],
    ["D28", "tool.call", "humanq.*", "humanq.x\nrm"],
    ["D28", "tool.call", "humanq.*", "humanq.\u200bx"],
    ["D29", "model.use", "tier-fast/**", "tier-fast/../gpt-4"],
    ["D29", "model.use", "tier-fast/**", "TIER-FAST/x"],
    ["D29", "model.use", "tier-fast/**", "tier-fast/x\u00ad"],
  ])("%s: %s %s is no way to %j", (_id, capability, pattern, target) => {
    expect(operation(capability, pattern, target)).toBe("PERMISSION_DENIED");
  });

  test.each(["test-runner@1.0.0/../admin", "a@", "@1", `a@${"1".repeat(10_240)}`, "a@1@2", "A"])(
    "D30: %s is no agent",
    (target) => {
      expect(operation("agent.delegate", "*", target)).toBe("INVALID_REQUEST");
    },
  );
});

describe("patterns", () => {
  test("D01: many double stars are matched at once", () => {
    const lease = validateLeaseShape({ "fs.read": ["/**/**/**/**/**/**/**/**/x"] });
    const target = `${"/a".repeat(40)}!`;
    const startedAt = cpuMs();
    for (let repeat = 0; repeat < 100; repeat += 1) {
      expect(outcomeOf(() => validateLeaseOp(lease, "fs.read", target))).toBe("PERMISSION_DENIED");
    }
    // A thousand times what it takes; trying every way to share out the segments takes half a minute for each.
    expect(cpuMs() - startedAt).toBeLessThan(1_000);
  });

  const FOREIGN = ["{a,b}".repeat(20), "+(a|b)", "!(x)", "[a-z]", "?", "@(a)", "*(a)"];

  test.each([
    ...FOREIGN.flatMap((text) => [
      ["D03", text],
      ["D03", `/w/${text}`],
    ]),
    ...["/workspace/../etc/**", "/a/./b", "/a//b", "/a/%2e%2e/**"].map((text) => ["D04", text]),
    ...["", " ", "**", "/**", "/**/**", "/w/**\n", "/w\u0000/**", `${BIDI}/w/**`, `/w/${BIDI}/**`, "/w/** "].map(
      (text) => ["D05", text],
    ),
    ["D05", "~/**"],
  ])("%s: %j is none", (_id, pattern = "") => {
    expect(outcomeOf(() => validateLeaseShape({ "fs.read": [pattern] }))).toBe("INVALID_REQUEST");
  });

  test("D05: of everything is an operator's", () => {
    for (const lease of [
      { "fs.read": ["/**"] },
      { "fs.read": ["/**/*"] },
      { "fs.read": ["/*/**"] },
      { "tool.call": ["**"] },
      { "tool.call": ["**/*"] },
      { "x-vendor.acme.x": ["**"] },
    ]) {
      expect(outcomeOf(() => validateLeaseShape(lease))).toBe("INVALID_REQUEST");
      expect(validateLeaseShape(lease, { mayBeUnlimited: true })).toEqual(lease);
    }
  });

  test.each(["__proto__", "constructor", "FS.READ", "fs.read ", "fs.re\u0430d"])("D06: %j is no capability", (name) => {
    const lease = JSON.parse(`{${JSON.stringify(name)}:["/a"]}`);
    expect(outcomeOf(() => validateLeaseShape(lease))).toBe("INVALID_REQUEST");
    expect(outcomeOf(() => validateLeaseOp(lease, name, "/a"))).toBe("PERMISSION_DENIED");
    expect(outcomeOf(() => canonicalizeTarget(name, "/a"))).toBe("INVALID_REQUEST");
  });

  test.each([
    ["too many", Array.from({ length: 100_000 }, (_, index) => `/${index}`)],
    ["one too many", Array(65).fill("/a")],
    ["lists", [["/a"]]],
    ["numbers", [1, 2]],
    ["longer ones", [`/${"a".repeat(1024)}`]],
  ])("D07: %s are no list of patterns", (_what, patterns) => {
    expect(outcomeOf(() => validateLeaseShape({ "fs.read": patterns }))).toBe("INVALID_REQUEST");
    expect(outcomeOf(() => validateLeaseShape({ "x-vendor.acme.x": patterns }))).toBe("INVALID_REQUEST");
  });

  test.each([
    ["D09", "fs.read", "/w/?", "/w/*"],
    ["D10", "fs.read", "/a/**", "/a/../b/**"],
    ["D10", "fs.read", "/a/**", "/a/b/../../etc/**"],
    ["D11", "fs.read", "/a/*", "/a/.."],
    ["D11", "fs.read", "/ws/*", "/ws/%2e%2e"],
    ["D12", "net.fetch", "https://*/**", "https://a@b/**"],
    ["D12", "net.fetch", "https://*.example.com/**", "https://a@b.example.com/**"],
  ])("%s: %s %s is not handed on as %s", (_id, capability, parent, child) => {
    const refused = outcomeOf(() => assertLeaseSubset({ [capability]: [child] }, { [capability]: [parent] }));
    expect(refused).toBe("LEASE_SUBSET_VIOLATION");
    expect(isLeaseSubset({ [capability]: [child] }, { [capability]: [parent] })).toBe(false);
  });
});

describe("amounts", () => {
  test.each([
    ...["USD:1e3", "USD:-1", "USD:+5", "USD:0x10", "USD: 5", "USD:\uff15", "USD:.5", "USD:5.", "usd:5", "Credits:5"],
    ...[`USD:${"9".repeat(400)}`, "USD:0.0000000001"],
  ])("D17: %s is none", (amount) => {
    expect(outcomeOf(() => validateLeaseShape({ "cost.budget": [amount] }))).toBe("INVALID_REQUEST");
  });

  test("D18: two of one currency are their sum, to whoever compares them too", () => {
    const twice = validateLeaseShape({ "cost.budget": ["USD:5.00", "USD:5.00"] });
    expect(initialBudgetFromLease(twice)).toEqual(new Map([["USD", 10]]));
    expect(isLeaseSubset(twice, { "cost.budget": ["USD:10"] })).toBe(true);
    expect(isLeaseSubset(twice, { "cost.budget": ["USD:9.99"] })).toBe(false);
    expect(isLeaseSubset({ "cost.budget": ["USD:10.000000001"] }, twice)).toBe(false);
  });
});

describe("instants", () => {
  const NOW = Date.parse("2026-01-01T00:00:00Z");
  const outcome = (expires_at: string) => outcomeOf(() => validateLeaseConstraints({ expires_at }, NOW));

  test.each([
    ...["foo 2099Z", "2099Z", "Tue, 1 Jan 2099 00:00:00 Z"].map((text) => ["D23", text]),
    ...["2026-02-30T00:00:00Z", "2027-01-01T00:00:60Z", "2027-01-01T24:00:00Z"].map((text) => ["D27", text]),
    ["D27", "2027-01-01T00:00:00+00:00"],
    ["D27", "2027-01-01T00:00:00z"],
    ["D27", "2027-01-01T00:00:00.123456789012Z"],
  ])("%s: %s is none", (_id, text = "") => {
    expect(outcome(text)).toBe("INVALID_REQUEST");
  });

  test.each([
    ["D24", "9999-12-31T23:59:59Z"],
    ["D24", "2026-01-26T00:00:00Z"],
    ["D27", "2026-01-01T00:00:00.001Z"],
    ["D27", "2028-02-29T23:59:59.999999999Z"],
  ])("%s: %s is one", (_id, text) => {
    expect(outcome(text)).toBe("allowed");
  });

  test("D24: an operation long before the end is not late", () => {
    const lease = validateLeaseShape({ "fs.read": ["/a"] });
    const at = (now: number) =>
      outcomeOf(() =>
        validateLeaseOp(lease, "fs.read", "/a", { now, constraints: { expires_at: "9999-12-31T23:59:59Z" } }),
      );
    expect([at(NOW), at(NOW + 2 ** 31), at(Date.parse("9999-12-31T23:59:59Z"))]).toEqual([
      ...["allowed", "allowed", "LEASE_EXPIRED"],
    ]);
  });
});
