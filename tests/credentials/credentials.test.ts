import { inspect } from "node:util";
import { type ARCPError, InternalError, newJobId, PermissionDeniedError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { credentialPayload } from "../../packages/runtime/src/engine/credentials/answer.ts";
import type { CredentialTiming } from "../../packages/runtime/src/engine/credentials/credentials.ts";
import type {
  CredentialProvisioner,
  IssuedCredential,
} from "../../packages/runtime/src/engine/credentials/provisioner.ts";
import { Secret } from "../../packages/runtime/src/engine/credentials/secret.ts";
import { litellmProvisioner } from "../../packages/runtime/src/provisioners/litellm.ts";
import { covers } from "../support/covers.ts";
import { FakeLiteLLM, type Fault } from "../support/fake-litellm.ts";
import { accepted, inTime, Ledger, type Process, request, rows, statesOf, turns, until } from "./ledger.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

interface Setting extends AsyncDisposable {
  readonly ledger: Ledger;
  readonly upstream: FakeLiteLLM;
  readonly provisioner: CredentialProvisioner;
  start(timing?: Partial<CredentialTiming>): Process;
}

async function setting(): Promise<Setting> {
  const ledger = new Ledger();
  const now = (): number => ledger.clock.now();
  const upstream = await FakeLiteLLM.start(now);
  const provisioner = litellmProvisioner({ baseUrl: upstream.url, masterKey: upstream.masterKey, now });
  return {
    ...{ ledger, upstream, provisioner },
    start: (timing: Partial<CredentialTiming> = {}) => ledger.start([provisioner], timing),
    async [Symbol.asyncDispose]() {
      await ledger[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

/** A provisioner that answers as it is told. */
function stub(issue: CredentialProvisioner["issue"], overrides: Partial<CredentialProvisioner> = {}) {
  const revoked: string[] = [];
  const provisioner: CredentialProvisioner = {
    name: "stub",
    issuesFor: () => true,
    issue,
    revoke: async ({ alias }) => void revoked.push(alias),
    ...overrides,
  };
  return { provisioner, revoked };
}

const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

const GOOD: IssuedCredential = { value: "sk-virtual-1", endpoint: "https://gateway.example/v1" };
const refusalOf = (promise: Promise<unknown>): Promise<ARCPError> =>
  promise.then(
    () => Promise.reject(new Error("it was issued")),
    (error: ARCPError) => error,
  );

describe("issuing", () => {
  test("writes down what it intends, asks, and makes it the job's in the batch that accepts it", async () => {
    covers("V11-9.8.1-01", "V11-9.8.2-01");
    await using it = await setting();
    const process = it.start();
    const facts = request();
    const issuing = process.credentials.issue(facts);
    expect(it.upstream.requests).toEqual([]);
    const issuance = await issuing;
    expect(await rows(process)).toMatchObject([{ state: "intended", jobId: facts.jobId, provisioner: "litellm" }]);
    expect(it.upstream.live.map(({ alias }) => alias)).toEqual((await rows(process)).map(({ alias }) => alias));
    expect(process.credentials.liveFor(facts.jobId)).toEqual([]);

    process.journal.addAudit({ at: 1, action: "accepted", principal: "alice", facts: "{}" });
    expect(issuance.commit()).toBe(true);
    await process.journal.flush();
    const batch = process.batches.at(-1);
    expect(batch?.audit).toHaveLength(1);
    expect(batch?.credentials).toMatchObject([{ state: "live", issuedAt: it.ledger.clock.now() }]);
    const [live] = process.credentials.liveFor(facts.jobId);
    expect(live && credentialPayload(live)).toEqual({
      id: expect.stringMatching(/^cred_[0-9A-Z]{26}$/),
      scheme: "bearer",
      value: it.upstream.keys[0]?.value,
      endpoint: `${it.upstream.url}/v1`,
      profile: "openai",
      constraints: { "model.use": ["fast"], expires_at: "2026-01-02T00:00:00.000Z" },
    });
  });

  test("is no matter for a job that no provisioner issues for", async () => {
    await using it = await setting();
    const process = it.start();
    expect(process.credentials.issuesFor(request({ lease: {} }))).toBe(false);
    const issuance = await process.credentials.issue(request({ lease: {} }));
    expect(issuance.credentials).toEqual([]);
    expect(issuance.commit()).toBe(true);
    expect(await rows(process)).toEqual([]);
  });

  test("for a job that is not accepted after all is undone", async () => {
    await using it = await setting();
    const process = it.start();
    const issuance = await process.credentials.issue(request());
    issuance.abandon();
    expect(issuance.commit()).toBe(false);
    await until(async () => (await statesOf(process))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("by several provisioners is undone when one of them fails", async () => {
    await using it = await setting();
    const failing = stub(() => Promise.reject(new Error("quota of account sk-secret-account is used up")), {
      name: "other",
    });
    const process = it.ledger.start([it.provisioner, failing.provisioner]);
    const error = await refusalOf(process.credentials.issue(request()));
    expect(error).toBeInstanceOf(InternalError);
    expect(error.retryable).toBe(true);
    expect(JSON.stringify([error.toWire(), it.ledger.logs])).not.toContain("sk-secret-account");
    await until(() => failing.revoked.length === 1);
    await inTime(it.ledger.clock, async () => (await statesOf(process)).join() === "revoked,revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("by several provisioners waits for none when one of them has failed", async () => {
    await using ledger = new Ledger();
    const waiting = stub((_, signal) => untilAborted(signal), { name: "waiting" });
    const failing = stub(() => Promise.reject(new Error("no")));
    const process = ledger.start([waiting.provisioner, failing.provisioner]);
    expect(await refusalOf(process.credentials.issue(request()))).toBeInstanceOf(InternalError);
  });

  test("refuses in the provisioner's own words, if they are ARCP's", async () => {
    await using ledger = new Ledger();
    const own = new PermissionDeniedError("no such model here");
    const process = ledger.start([stub(() => Promise.reject(own)).provisioner]);
    expect(await refusalOf(process.credentials.issue(request()))).toBe(own);
  });

  test("is given up when the submitter is, and after its time", async () => {
    await using it = await setting();
    it.upstream.failAlways("generate", { kind: "hang" });
    const process = it.start();
    const stop = new AbortController();
    const givenUp = refusalOf(process.credentials.issue(request(), stop.signal));
    await until(() => it.upstream.requests.length === 1);
    stop.abort(new Error("gone"));
    expect(await givenUp).toBeInstanceOf(InternalError);
    const late = refusalOf(process.credentials.issue(request()));
    await until(() => it.upstream.requests.filter(({ route }) => route === "generate").length === 2);
    it.ledger.clock.advance(9_999);
    it.ledger.clock.advance(1);
    expect((await late).message).toBe("the credentials for the job could not be issued");
  });

  test.each<[string, unknown]>([
    ["no value", { ...GOOD, value: undefined }],
    ["an empty value", { ...GOOD, value: "" }],
    ["a value that guards nothing", { ...GOOD, value: "short" }],
    ["a value of digits", { ...GOOD, value: "1234567890" }],
    ["a value that breaks a header", { ...GOOD, value: "sk-virtual\r\nx-evil: 1" }],
    ["a list of values", { ...GOOD, value: ["sk-virtual-1", "sk-virtual-2"] }],
    ["an endpoint that is no URL", { ...GOOD, endpoint: "gateway" }],
    ["an endpoint of another kind", { ...GOOD, endpoint: "file:///etc/passwd" }],
    ["an endpoint with a password", { ...GOOD, endpoint: "https://user:pass@gateway.example" }],
    ["an endpoint with a fragment", { ...GOOD, endpoint: "https://gateway.example/#v1" }],
    ["an empty scheme", { ...GOOD, scheme: "" }],
    ["a value in the open", { ...GOOD, constraints: { note: "use sk-virtual-1" } }],
    ["nothing", undefined],
  ])("refuses an answer with %s", async (_, answer) => {
    await using ledger = new Ledger();
    const { provisioner, revoked } = stub(async () => answer as IssuedCredential);
    const process = ledger.start([provisioner]);
    expect(await refusalOf(process.credentials.issue(request()))).toBeInstanceOf(InternalError);
    await until(() => revoked.length === 1);
    expect((await rows(process)).map(({ alias }) => alias)).toEqual(revoked);
    expect(JSON.stringify(ledger.logs)).not.toContain("sk-virtual");
  });
});

describe("K06: an upstream that mints badly leaves one live credential, all others revoked", () => {
  test.each<[string, Fault]>([
    ["times out but succeeds", { kind: "silent" }],
    ["breaks off but succeeds", { kind: "reset" }],
    ["fails", { kind: "status", status: 500 }],
    ["redirects", { kind: "status", status: 307, headers: { location: "http://127.0.0.1:1/" } }],
    ["answers nonsense", { kind: "status", status: 200, body: "<html>" }],
  ])("one that %s, then does well", async (_, fault) => {
    covers("V11-9.8.2-04");
    await using it = await setting();
    it.upstream.fail("generate", fault);
    const process = it.start();
    const first = refusalOf(process.credentials.issue(request()));
    await until(() => it.upstream.requests.length === 1);
    if (fault.kind === "silent") it.ledger.clock.advance(10_000);
    expect(await first).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
    await accepted(process);
    await until(() => it.upstream.live.length === 1);
    await inTime(it.ledger.clock, async () => (await statesOf(process)).join() === "revoked,live");
    expect(it.upstream.live).toHaveLength(1);
  });

  test("one that fails twice is asked a third time, under a new name, and what it may have made is revoked", async () => {
    await using it = await setting();
    it.upstream.fail("generate", { kind: "reset" }, { kind: "status", status: 503 });
    const process = it.start({ issueRetriesMs: [250, 1_000] });
    const issuing = process.credentials.issue(request());
    await until(() => it.upstream.requests.filter(({ route }) => route === "generate").length === 1);
    await inTime(it.ledger.clock, async () => it.upstream.keys.length === 2);
    expect((await issuing).commit()).toBe(true);
    await inTime(it.ledger.clock, async () => (await statesOf(process)).join() === "revoked,revoked,live");
    expect(it.upstream.live).toHaveLength(1);
    const aliases = it.upstream.requests.filter(({ route }) => route === "generate").map(({ about }) => about);
    expect(new Set(aliases).size).toBe(3);
  });

  test("one that refuses is not asked again", async () => {
    await using it = await setting();
    it.upstream.fail("generate", { kind: "status", status: 400 });
    const process = it.start({ issueRetriesMs: [250, 1_000] });
    await refusalOf(process.credentials.issue(request()));
    expect(it.upstream.requests.filter(({ route }) => route === "generate")).toHaveLength(1);
  });

  test("one that mints after it was told to delete", async () => {
    await using it = await setting();
    it.upstream.fail("generate", { kind: "late" });
    const process = it.start();
    const first = refusalOf(process.credentials.issue(request()));
    await until(() => it.upstream.requests.length === 1);
    it.ledger.clock.advance(10_000);
    await first;
    await until(() => it.upstream.requests.some(({ route }) => route === "delete"));
    await until(() => process.journal.uncommittedBytes === 0);
    it.upstream.doLate();
    expect(it.upstream.live).toHaveLength(1);
    await inTime(it.ledger.clock, async () => (await statesOf(process))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("one that mints two for one request", async () => {
    await using it = await setting();
    it.upstream.fail("generate", { kind: "duplicate" });
    const process = it.start();
    const jobId = await accepted(process);
    expect(it.upstream.live).toHaveLength(2);
    process.credentials.release(jobId);
    await until(async () => (await statesOf(process))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("one that gives a value again, while its job lives and after it", async () => {
    covers("V11-9.8.2-03");
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    it.upstream.fail("generate", { kind: "repeat" });
    expect(await refusalOf(process.credentials.issue(request()))).toBeInstanceOf(InternalError);
    await until(async () => (await statesOf(process)).join() === "live,revoked");
    process.credentials.release(jobId);
    await until(async () => (await statesOf(process)).join() === "revoked,revoked");
    it.upstream.fail("generate", { kind: "repeat" });
    expect(await refusalOf(process.credentials.issue(request()))).toBeInstanceOf(InternalError);
    await until(() => it.upstream.live.length === 0);
  });
});

describe("a provisioner that takes no notice of its signal", () => {
  /** It issues when the test says so, and revokes at once or when the test says so. */
  async function given() {
    const ledger = new Ledger();
    const minting = Promise.withResolvers<IssuedCredential>();
    const live = new Set<string>();
    const revocations: (() => void)[] = [];
    let alias = "";
    const { provisioner } = stub(
      (asked) => {
        alias = asked.alias;
        return minting.promise;
      },
      {
        revoke: (reference) => {
          // What it finds is what is there when it is asked.
          live.delete(reference.alias);
          return new Promise((resolve) => revocations.push(resolve));
        },
      },
    );
    const process = ledger.start([provisioner]);
    const issuing = refusalOf(process.credentials.issue(request()));
    await until(() => alias !== "");
    ledger.clock.advance(10_000);
    await issuing;
    await until(() => revocations.length === 1);
    const mint = (): void => {
      live.add(alias);
      minting.resolve({ ...GOOD, upstreamId: "key-7" });
    };
    return { ledger, process, live, revocations, mint };
  }

  test("is not believed to be done before it has answered, however late", async () => {
    const { ledger, process, live, revocations, mint } = await given();
    await using _ = ledger;
    for (let times = 1; times <= 10; times += 1) {
      revocations.at(-1)?.();
      await turns();
      ledger.clock.advance(MINUTE / 2);
      await until(() => revocations.length === times + 1);
    }
    revocations.at(-1)?.();
    await turns();
    expect(await statesOf(process)).toEqual(["revoking"]);
    mint();
    await until(() => live.size === 0);
    revocations.at(-1)?.();
    await until(async () => (await statesOf(process))[0] === "revoked");
    expect(await rows(process)).toMatchObject([{ upstreamId: "key-7", issuedAt: ledger.clock.now() }]);
  });

  test("and answers while it is told to revoke is told again", async () => {
    const { ledger, process, live, revocations, mint } = await given();
    await using _ = ledger;
    mint();
    await until(async () => (await rows(process))[0]?.upstreamId === "key-7");
    revocations[0]?.();
    await until(() => revocations.length === 2);
    expect(live.size).toBe(0);
    revocations[1]?.();
    await until(async () => (await statesOf(process))[0] === "revoked");
  });
});

describe("K07: a crash", () => {
  test("between the mint and its record leaves nothing alive", async () => {
    covers("V11-9.8.2-04");
    await using it = await setting();
    const first = it.start();
    await first.credentials.issue(request());
    expect(it.upstream.live).toHaveLength(1);
    await first.crash();
    const second = it.start();
    await second.credentials.recover();
    await inTime(it.ledger.clock, async () => (await statesOf(second))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
    expect(it.upstream.requests.at(-1)?.about).toBe(it.upstream.keys[0]?.alias);
  });

  test("while the upstream is minting leaves nothing alive", async () => {
    await using it = await setting();
    it.upstream.fail("generate", { kind: "late" });
    const first = it.start();
    void refusalOf(first.credentials.issue(request()));
    await until(() => it.upstream.requests.length === 1);
    await first.crash();
    const second = it.start();
    await second.credentials.recover();
    await until(() => it.upstream.requests.some(({ route }) => route === "delete"));
    it.upstream.doLate();
    await inTime(it.ledger.clock, async () => (await statesOf(second))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("while a job lives, or is being revoked, leaves nothing alive", async () => {
    await using it = await setting();
    it.upstream.failAlways("delete", { kind: "status", status: 503 });
    const first = it.start();
    await accepted(first);
    first.credentials.release(await accepted(first));
    await until(() => it.upstream.requests.some(({ route }) => route === "delete"));
    await first.crash();
    expect(it.upstream.live).toHaveLength(2);
    it.upstream.heal();
    const second = it.start();
    await second.credentials.recover();
    await until(async () => (await statesOf(second)).join() === "revoked,revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("is not mistaken for what this process does itself", async () => {
    await using it = await setting();
    const process = it.start();
    const issuance = await process.credentials.issue(request());
    await accepted(process);
    await process.credentials.recover();
    issuance.commit();
    await process.journal.flush();
    expect(await statesOf(process)).toEqual(["live", "live"]);
    expect(it.upstream.live).toHaveLength(2);
  });

  test("and a start without the provisioner keep the record, and name it", async () => {
    covers("V11-9.8.2-06");
    await using it = await setting();
    const first = it.start();
    await accepted(first);
    await first.crash();
    const second = it.ledger.start([]);
    await second.credentials.recover();
    await until(() => it.ledger.logs.some(({ level }) => level === "error"));
    expect(it.ledger.logs.at(-1)).toMatchObject({
      ...{ provisioner: "litellm", alias: it.upstream.keys[0]?.alias },
      msg: "no provisioner of this name can revoke the credential",
    });
    expect(second.credentials.outstanding()).toMatchObject([{ state: "revoking", provisioner: "litellm" }]);
    await second.credentials.close();
    await second.crash();
    const third = it.start();
    await third.credentials.recover();
    await until(() => it.upstream.live.length === 0);
  });
});

describe("K08: a revocation", () => {
  test("begins when the end of its job is durable, in whose batch it stands", async () => {
    covers("V11-9.8.2-04");
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const [{ id = "" } = {}] = process.credentials.liveFor(jobId);
    process.journal.addAudit({ at: 1, action: "ended", principal: "alice", facts: "{}" });
    process.credentials.release(jobId);
    expect(process.credentials.valueOf(jobId, id)).toBeUndefined();
    expect(it.upstream.requests).toHaveLength(1);
    await process.journal.flush();
    expect(process.batches.at(-1)).toMatchObject({
      audit: [{ action: "ended" }],
      credentials: [{ state: "revoking" }],
    });
    await until(async () => (await statesOf(process))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
    expect(process.credentials.outstanding()).toEqual([]);
    expect(it.ledger.clock.pending).toBe(0);
  });

  test("is not begun before that is durable", async () => {
    await using ledger = new Ledger();
    const { provisioner, revoked } = stub(async () => GOOD);
    const process = ledger.start([provisioner]);
    process.credentials.release(await accepted(process));
    expect(revoked).toEqual([]);
    await process.journal.flush();
    expect(revoked).toHaveLength(1);
  });

  test("is one of at most 16 at a time, and none is left behind", async () => {
    await using ledger = new Ledger();
    const answers: (() => void)[] = [];
    let count = 0;
    const issue = async (): Promise<IssuedCredential> => {
      count += 1;
      return { ...GOOD, value: `sk-virtual-${count}` };
    };
    const { provisioner } = stub(issue, { revoke: () => new Promise((resolve) => answers.push(resolve)) });
    const process = ledger.start([provisioner]);
    const jobs = await Promise.all(Array.from({ length: 40 }, () => accepted(process)));
    for (const jobId of jobs) process.credentials.release(jobId);
    for (const expected of [16, 32, 40]) {
      await until(() => answers.length >= expected);
      expect(answers).toHaveLength(expected);
      for (const answer of answers) answer();
    }
    await until(async () => (await statesOf(process)).every((state) => state === "revoked"));
  });

  test("that fails is tried again sooner or later, by chance, but not at once", async () => {
    await using it = await setting();
    const process = it.ledger.start([it.provisioner], {}, () => 0);
    it.upstream.failAlways("delete", { kind: "status", status: 500 });
    process.credentials.release(await accepted(process));
    await until(() => process.credentials.outstanding()[0]?.attempts === 1);
    it.ledger.clock.advance(499);
    expect(process.credentials.outstanding()[0]?.attempts).toBe(1);
    it.ledger.clock.advance(1);
    await until(() => process.credentials.outstanding()[0]?.attempts === 2);
    process.credentials.abort();
    expect(it.ledger.clock.pending).toBe(0);
  });

  test("of what the upstream does not know is done; a server without the route knows nothing", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const elsewhere = { kind: "status", status: 404, body: '{"detail":"Not Found"}' } as const;
    it.upstream.fail("delete", elsewhere, { kind: "status", status: 404, body: "<html>404</html>" });
    for (const key of it.upstream.keys) key.revokedAt = 0;
    process.credentials.release(jobId);
    for (const attempts of [1, 2]) {
      await until(() => process.credentials.outstanding()[0]?.attempts === attempts);
      expect(process.credentials.outstanding()).toMatchObject([{ lastError: "HTTP 404" }]);
      it.ledger.clock.advance(2_000);
    }
    await until(async () => (await statesOf(process))[0] === "revoked");
    expect(it.upstream.requests.filter(({ route }) => route === "delete")).toHaveLength(3);
  });

  test.each<[string, Fault, string]>([
    ["a conflict", { kind: "status", status: 409 }, "HTTP 409"],
    ["a fault", { kind: "status", status: 500 }, "HTTP 500"],
    ["a refusal", { kind: "status", status: 401 }, "HTTP 401"],
    ["a broken connection", { kind: "reset" }, "UND_ERR_SOCKET"],
    ["a redirect", { kind: "status", status: 302, headers: { location: "/key/delete" } }, "HTTP 302"],
  ])("that meets with %s is tried again", async (_, fault, name) => {
    covers("V11-9.8.2-05");
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    it.upstream.fail("delete", fault);
    process.credentials.release(jobId);
    await until(() => process.credentials.outstanding()[0]?.attempts === 1);
    await process.journal.flush();
    expect(await rows(process)).toMatchObject([{ state: "revoking", attempts: 1, lastError: name }]);
    it.ledger.clock.advance(999);
    expect(it.upstream.requests.filter(({ route }) => route === "delete")).toHaveLength(1);
    it.ledger.clock.advance(1);
    await until(async () => (await statesOf(process))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("that hangs is given up after its time, and tried again", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    it.upstream.fail("delete", { kind: "hang" });
    process.credentials.release(jobId);
    await until(() => it.upstream.requests.length === 2);
    it.ledger.clock.advance(10_000);
    await until(() => process.credentials.outstanding()[0]?.attempts === 1);
    it.ledger.clock.advance(1_000);
    await until(async () => (await statesOf(process))[0] === "revoked");
  });

  test("waits as long as the upstream asks, up to an hour", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    for (const seconds of ["3600", "999999999"]) {
      it.upstream.fail("delete", { kind: "status", status: 429, headers: { "retry-after": seconds } });
    }
    process.credentials.release(jobId);
    for (const attempts of [1, 2]) {
      await until(() => process.credentials.outstanding()[0]?.attempts === attempts);
      it.ledger.clock.advance(HOUR - 1);
      expect(it.upstream.requests.filter(({ route }) => route === "delete")).toHaveLength(attempts);
      it.ledger.clock.advance(1);
    }
    await until(async () => (await statesOf(process))[0] === "revoked");
  });

  test("does not speak to an upstream whose TLS is not right, and tries for ever", async () => {
    await using it = await setting();
    const secure = litellmProvisioner({
      ...{ baseUrl: it.upstream.url.replace("http:", "https:"), masterKey: it.upstream.masterKey },
      now: () => it.ledger.clock.now(),
    });
    const first = it.start();
    await accepted(first);
    await first.crash();
    const second = it.ledger.start([secure]);
    await second.credentials.recover();
    await until(() => second.credentials.outstanding()[0]?.attempts === 1);
    expect(second.credentials.outstanding()[0]?.lastError).toMatch(/SSL/);
    expect(it.upstream.requests).toHaveLength(1);
    expect(it.upstream.live).toHaveLength(1);
  });

  test("goes on through an outage of six hours; operators hear of it after 15 minutes and each hour, and no value", async () => {
    covers("V11-9.8.2-05", "V11-9.8.2-06");
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const [key] = it.upstream.keys;
    it.upstream.failAlways("delete", { kind: "status", status: 503 });
    process.credentials.release(jobId);
    const alarms = () => it.ledger.logs.filter(({ level }) => level === "error");
    const end = it.ledger.clock.now() + 6 * HOUR;
    for (let attempts = 1; it.ledger.clock.now() < end; attempts += 1) {
      await until(() => process.credentials.outstanding()[0]?.attempts === attempts);
      it.ledger.clock.advance(Math.min(1_000 * 2 ** (attempts - 1), 5 * MINUTE));
    }
    expect(alarms()).toHaveLength(6);
    expect(alarms()[0]).toMatchObject({ jobId, alias: key?.alias, provisioner: "litellm", lastError: "HTTP 503" });
    expect(it.upstream.live).toHaveLength(1);
    it.upstream.heal();
    await inTime(it.ledger.clock, async () => (await statesOf(process))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
    expect(JSON.stringify(it.ledger.logs)).not.toContain(key?.value);
  });
});

describe("rotation", () => {
  test("gives a new value under the same id, and revokes the old one when it is announced", async () => {
    covers("V11-9.8.1-02", "V11-9.8.2-07", "V11-9.8.2-09");
    await using it = await setting();
    const process = it.start();
    let left = 5;
    const jobId = await accepted(process, request({ remaining: () => new Map([["USD", left]]) }));
    const [before] = process.credentials.liveFor(jobId);
    const id = before?.id ?? "";
    left = 2.5;
    const rotation = await process.credentials.rotate(jobId, id);
    expect(process.credentials.valueOf(jobId, id)).toBe(before?.value);
    expect(it.upstream.live).toHaveLength(2);
    await expect(process.credentials.rotate(jobId, id)).rejects.toThrow("being rotated already");
    process.journal.addAudit({ at: 1, action: "announced", principal: "alice", facts: "{}" });
    expect(rotation.commit()).toBe(true);
    await process.journal.flush();
    const batch = process.batches.find(({ audit }) => audit.length > 0);
    expect(batch?.credentials.map(({ state, credentialId }) => [state, credentialId])).toEqual([
      ["live", id],
      ["revoking", id],
    ]);
    await until(async () => (await statesOf(process)).join() === "revoked,live");
    expect(it.upstream.live.map(({ value }) => value)).toEqual([process.credentials.valueOf(jobId, id)?.reveal()]);
    expect(it.upstream.live[0]?.asked["max_budget"]).toBe(2.5);
  });

  test("that comes too late for its job is undone", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const [{ id = "" } = {}] = process.credentials.liveFor(jobId);
    const rotation = await process.credentials.rotate(jobId, id);
    process.credentials.release(jobId);
    expect(rotation.commit()).toBe(false);
    await until(async () => (await statesOf(process)).join() === "revoked,revoked");
    expect(it.upstream.live).toEqual([]);
    await expect(process.credentials.rotate(jobId, id)).rejects.toThrow("the job has no such credential");
  });

  test("that is under way when its job ends is undone", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const [{ id = "" } = {}] = process.credentials.liveFor(jobId);
    it.upstream.fail("generate", { kind: "late" });
    const rotating = refusalOf(process.credentials.rotate(jobId, id));
    await until(() => it.upstream.requests.length === 2);
    process.credentials.release(jobId);
    await rotating;
    it.upstream.doLate();
    await inTime(it.ledger.clock, async () => (await statesOf(process)).join() === "revoked,revoked");
    expect(it.upstream.live).toEqual([]);
  });

  test("that fails leaves the job what it has", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const [before] = process.credentials.liveFor(jobId);
    it.upstream.fail("generate", { kind: "status", status: 500 });
    await refusalOf(process.credentials.rotate(jobId, before?.id ?? ""));
    expect(process.credentials.liveFor(jobId)).toEqual([before]);
    expect((await process.credentials.rotate(jobId, before?.id ?? "")).commit()).toBe(true);
  });

  test("to another place is refused: the client would not hear of it", async () => {
    await using ledger = new Ledger();
    let count = 0;
    const { provisioner } = stub(async () => {
      count += 1;
      return { value: `sk-virtual-${count}`, endpoint: `https://gateway-${count}.example` };
    });
    const process = ledger.start([provisioner]);
    const jobId = await accepted(process);
    const [before] = process.credentials.liveFor(jobId);
    expect(await refusalOf(process.credentials.rotate(jobId, before?.id ?? ""))).toBeInstanceOf(InternalError);
    expect(process.credentials.liveFor(jobId)).toEqual([before]);
  });
});

describe("stopping", () => {
  test("lets revocations end, also those that fail once", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const open = await process.credentials.issue(request());
    it.upstream.fail("delete", { kind: "status", status: 500 });
    process.credentials.release(jobId);
    const closed = process.credentials.close();
    expect(open.commit()).toBe(false);
    await until(() => process.credentials.outstanding().some(({ attempts }) => attempts === 1));
    it.ledger.clock.advance(1_000);
    await closed;
    expect(await statesOf(process)).toEqual(["revoked", "revoked"]);
    expect(it.upstream.live).toEqual([]);
    expect(it.ledger.clock.pending).toBe(0);
    expect(await refusalOf(process.credentials.issue(request()))).toBeInstanceOf(InternalError);
  });

  test("does not wait for ever; the next start does the rest", async () => {
    await using it = await setting();
    it.upstream.failAlways("delete", { kind: "hang" });
    const process = it.start();
    process.credentials.release(await accepted(process));
    const closed = process.credentials.close();
    await until(() => it.upstream.requests.length === 2);
    it.ledger.clock.advance(5_000);
    await closed;
    expect(it.ledger.clock.pending).toBe(0);
    await process.crash();
    expect(it.upstream.live).toHaveLength(1);
    it.upstream.heal();
    const second = it.start();
    await second.credentials.recover();
    await until(async () => (await statesOf(second))[0] === "revoked");
    expect(it.upstream.live).toEqual([]);
  });
});

describe("a secret", () => {
  test("is on no disk, in no log and in no record", async () => {
    covers("V11-9.8.2-02");
    await using it = await setting();
    it.upstream.fail("generate", { kind: "silent" }, { kind: "reset" });
    const process = it.start();
    const lost = refusalOf(process.credentials.issue(request()));
    await until(() => it.upstream.requests.length === 1);
    it.ledger.clock.advance(10_000);
    await lost;
    await refusalOf(process.credentials.issue(request()));
    const jobId = await accepted(process);
    const [{ id = "" } = {}] = process.credentials.liveFor(jobId);
    (await process.credentials.rotate(jobId, id)).commit();
    it.upstream.fail("delete", {
      kind: "status",
      status: 500,
      body: it.upstream.keys.map(({ value }) => value).join(),
    });
    process.credentials.release(jobId);
    await inTime(it.ledger.clock, async () => (await statesOf(process)).every((state) => state === "revoked"));
    const seen = it.ledger.bytes() + JSON.stringify(it.ledger.logs) + inspect(process.credentials, { depth: 20 });
    expect(it.upstream.keys).toHaveLength(4);
    for (const { value } of it.upstream.keys) {
      for (const form of [value, Buffer.from(value).toString("hex"), Buffer.from(value).toString("base64")]) {
        expect(seen).not.toContain(form);
      }
    }
    expect(seen).not.toContain(it.upstream.masterKey);
    expect(inspect(it.provisioner, { depth: 20, showHidden: true })).not.toContain(it.upstream.masterKey);
    expect(it.upstream.requests.every(({ authorization }) => authorization === `Bearer ${it.upstream.masterKey}`)).toBe(
      true,
    );
  });

  test("prints as redacted", () => {
    const secret = new Secret("sk-virtual-1");
    expect([String(secret), `${secret}`, JSON.stringify({ secret }), inspect({ secret }), inspect(secret)]).toEqual([
      ...["[redacted]", "[redacted]", '{"secret":"[redacted]"}', "{ secret: [redacted] }", "[redacted]"],
    ]);
    expect(secret.reveal()).toBe("sk-virtual-1");
  });

  test("is the agent's as last rotated, until its job ends, and is masked as long", async () => {
    await using it = await setting();
    const process = it.start();
    const jobId = await accepted(process);
    const [mine] = process.credentials.jobCredentials(jobId);
    const first = mine?.reveal() ?? "";
    expect(JSON.stringify(mine)).not.toContain(first);
    expect(inspect(mine)).not.toContain(first);
    expect(process.credentials.maskOf(jobId)?.mask(first).found).toBe(true);
    (await process.credentials.rotate(jobId, mine?.id ?? "")).commit();
    const second = mine?.reveal() ?? "";
    expect(second).not.toBe(first);
    expect(process.credentials.maskOf(jobId)?.mask(`${first} ${second}`).text).toBe("[redacted] [redacted]");
    process.credentials.release(jobId);
    expect(() => mine?.reveal()).toThrow("the job has ended");
    expect(process.credentials.maskOf(jobId)).toBeUndefined();
    expect(process.credentials.maskOf(newJobId())).toBeUndefined();
  });
});

test("revocation is guaranteed by a store that is durable, for those who can issue", async () => {
  await using it = await setting();
  expect(it.start().credentials.canGuarantee).toBe(true);
  await using other = await setting();
  expect(other.ledger.start([]).credentials.canGuarantee).toBe(false);
});

test("two provisioners do not have one name: records could not tell them apart", async () => {
  await using it = await setting();
  expect(() => it.ledger.start([it.provisioner, it.provisioner])).toThrow("two provisioners have one name");
});
