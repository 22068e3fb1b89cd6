import { hasCorePrefix, isExtensionType, isNamespaced, isVersionedExtensionType } from "@arcp/core/v1.0";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { cpuMs } from "../support/cpu-time.ts";

test.each([
  ["arcpx.acme.audit.v1", true],
  ["arcpx.sdr.lead.scored.v12", true],
  ["com.acme.workflow.v2", true],
  ["arcpx.acme.audit", false],
  ["com.acme.workflow", false],
  ["arcpx.example.v1", true],
  ["logger.acme.audit.v1", true],
])("%s is an extension; with its version: %s", (type, isVersioned) => {
  covers("V10-21.1-01");
  expect(isExtensionType(type)).toBe(true);
  expect(isVersionedExtensionType(type)).toBe(isVersioned);
});

test.each([
  ...["", "audit", "acme.audit", "arcpx", "arcpx.acme", "x-acme.audit.log.v1", "x-vendor.acme.audit", "x-a"],
  ...["com..audit", ".com.acme.audit", "com.acme.audit.", "com.acme.au dit", "Com.acme.audit", "com.acme.-audit"],
  ...["job.acme.audit.v1", "log.acme.audit.v1", "9com.acme.audit", `com.acme.${"a".repeat(256)}`, "com.acme.audit\n"],
])("%j is no extension", (type) => {
  covers("V10-21.1-01", "V10-21.1-02");
  expect(isExtensionType(type)).toBe(false);
});

test.each(["ping", "log", "job.teleport", "job", "human.x.y.z", "stream.", "trace.span", "unsubscribe"])(
  "%s begins with a word of the core",
  (type) => {
    expect(hasCorePrefix(type)).toBe(true);
  },
);

test.each(["logger", "logger.x", "jobs.open", "pinger", "", ".job", "Job.x", "com.acme.job.v1", "subscription.x"])(
  "%j does not",
  (type) => {
    expect(hasCorePrefix(type)).toBe(false);
  },
);

test("a long name is decided as quickly as a short one", () => {
  const startedAt = cpuMs();
  isNamespaced(`a${".a".repeat(50_000)}!`);
  hasCorePrefix("job".repeat(50_000));
  expect(cpuMs() - startedAt).toBeLessThan(50);
});
