/** Targets, patterns and times that somebody hostile would send. */
import {
  canonicalizeTarget,
  isLeaseSubset,
  validateLeaseConstraints,
  validateLeaseOp,
  validateLeaseShape,
} from "@arcp/runtime";
import { describe, expect, test } from "vitest";
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
    const startedAt = performance.now();
    expect(under(`/workspace/app/${"a".repeat(2 ** 20)}`)).toBe("INVALID_REQUEST");
    expect(under(`/workspace/app${"/a".repeat(10_000)}`)).toBe("INVALID_REQUEST");
    expect(performance.now() - startedAt).toBeLessThan(100);
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
    ["tool.call", "mcp:github/**", "mcp:github/../shell/exec"],
    ["tool.call", "humanq.*", "humanq.x\nrm"],
    ["tool.call", "humanq.*", "humanq.\u200bx"],
    ["model.use", "tier-fast/**", "tier-fast/../gpt-4"],
    ["model.use", "tier-fast/**", "TIER-FAST/x"],
    ["model.use", "tier-fast/**", "tier-fast/x\u00ad"],
  ])("%s %s is no way to %j", (capability, pattern, target) => {
    expect(operation(capability, pattern, target)).toBe("PERMISSION_DENIED");
  });

  test.each(["test-runner@1.0.0/../admin", "a@", "@1", `a@${"1".repeat(10_240)}`, "a@1@2", "A"])(
    "%s is no agent",
    (target) => {
      expect(operation("agent.delegate", "*", target)).toBe("INVALID_REQUEST");
    },
  );
});

describe("patterns", () => {
  test.each([
    ...["{a,b}".repeat(20), "+(a|b)", "!(x)", "[a-z]", "?", "@(a)", "*(a)"].map((text) => `/w/${text}`),
    ...["/workspace/../etc/**", "/a/./b", "/a//b", "/a/%2e%2e/**"],
    ...["", " ", "**", "/**", "/**/**", "/w/**\n", "/w\u0000/**", `${BIDI}/w/**`, `/w/${BIDI}/**`, "/w/** ", "~/**"],
  ])("%j is none", (pattern) => {
    expect(outcomeOf(() => validateLeaseShape({ "fs.read": [pattern] }))).toBe("INVALID_REQUEST");
  });

  test("of everything is an operator's", () => {
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

  test.each([
    ["fs.read", "/w/?", "/w/*"],
    ["fs.read", "/a/**", "/a/../b/**"],
    ["fs.read", "/a/**", "/a/b/../../etc/**"],
    ["fs.read", "/a/*", "/a/.."],
    ["fs.read", "/ws/*", "/ws/%2e%2e"],
    ["net.fetch", "https://*/**", "https://a@b/**"],
    ["net.fetch", "https://*.example.com/**", "https://a@b.example.com/**"],
  ])("%s: %s is not handed on as %s", (capability, parent, child) => {
    expect(isLeaseSubset({ [capability]: [child] }, { [capability]: [parent] })).toBe(false);
  });
});

describe("amounts", () => {
  test.each([
    ...["USD:1e3", "USD:-1", "USD:+5", "USD:0x10", "USD: 5", "USD:\uff15", "USD:.5", "USD:5.", "usd:5", "Credits:5"],
    ...[`USD:${"9".repeat(400)}`, "USD:0.0000000001"],
  ])("%s is none", (amount) => {
    expect(outcomeOf(() => validateLeaseShape({ "cost.budget": [amount] }))).toBe("INVALID_REQUEST");
  });
});

describe("instants", () => {
  const NOW = Date.parse("2026-01-01T00:00:00Z");
  const outcome = (expires_at: string) => outcomeOf(() => validateLeaseConstraints({ expires_at }, NOW));

  test.each([
    ...["foo 2099Z", "2099Z", "Tue, 1 Jan 2099 00:00:00 Z", "2026-02-30T00:00:00Z", "2027-01-01T00:00:60Z"],
    ...[
      "2027-01-01T24:00:00Z",
      "2027-01-01T00:00:00+00:00",
      "2027-01-01T00:00:00z",
      "2027-01-01T00:00:00.123456789012Z",
    ],
  ])("%s is none", (text) => {
    expect(outcome(text)).toBe("INVALID_REQUEST");
  });

  test.each([
    "9999-12-31T23:59:59Z",
    "2026-01-26T00:00:00Z",
    "2026-01-01T00:00:00.001Z",
    "2028-02-29T23:59:59.999999999Z",
  ])("%s is one", (text) => {
    expect(outcome(text)).toBe("allowed");
  });
});
