/** Clients that ask for a stream of events and never read it, on every host: they cost no more than a bound, and are cut. */
import type { Transport } from "@arcp/core";
import { expect, test } from "vitest";
import { HTTP_HOSTS, type HttpHost } from "../adapters/http-hosts.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";

const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;
/** More than the bound of the runtime, and what systems and clients keep for a connection. */
const EVENTS = 300;
const EVENT = "x".repeat(60_000);
const PATIENTLY = { timeout: 60_000 };
const AS_ALICE = { authorization: "Bearer alice" };
const JSON_OF_ALICE = { ...AS_ALICE, "content-type": "application/json" };

const envelope = (type: string, payload: object): string =>
  JSON.stringify({ arcp: "1.1", id: `msg_${type.replace(".", "_")}`, type, payload });
// Without heartbeats: what is cut is cut because it does not read.
const HELLO = envelope("session.hello", {
  client: { name: "curl", version: "8" },
  capabilities: { encodings: ["json"], features: ["ack"] },
});

/** Reads to the end, and resolves with the types of the envelopes, or events, that came. */
async function typesIn(response: Response): Promise<readonly string[]> {
  const text = await response.text();
  return [...text.matchAll(/^data: \{.*?"type":"([\w.]+)"/gm)].map(([, type = ""]) => type);
}

/** Lets three minutes pass, and resolves when the runtime has ended the connections. */
async function cutWithinMinutes(clock: ManualClock, transports: readonly Transport[]): Promise<void> {
  for (let minute = 0; minute < 3; minute += 1) {
    clock.advance(MINUTE_MS);
    await settle();
  }
  await Promise.all(transports.map(({ closed }) => closed));
}

const BY_NAME = HTTP_HOSTS.map((host) => [host.name, host] as const);
test.each(BY_NAME)("on %s", { timeout: 2 * PATIENTLY.timeout }, async (_name, host: HttpHost) => {
  const clock = new ManualClock();
  const puppet = new Puppet();
  await using harness = startHarness({ server: { clock }, agents: { puppet: puppet.handler } });
  const accepted: Transport[] = [];
  const running = await host.startHttp({
    onTransport: (transport) => {
      accepted.push(transport);
      return harness.server.accept(transport);
    },
  });
  const { url, fetch = globalThis.fetch } = running;
  const last = (): Transport => accepted.at(-1) as Transport;
  try {
    const opened = await fetch(url, { method: "POST", headers: JSON_OF_ALICE, body: HELLO });
    const connection = new URL(opened.headers.get("location") ?? "", url).href;
    const overConnection = last();
    const unread = await fetch(`${connection}/events`, { headers: AS_ALICE });
    const submission = envelope("job.submit", { agent: "puppet", input: null });
    await fetch(connection, { method: "POST", headers: JSON_OF_ALICE, body: submission });
    const job = await puppet.next();
    const events = new URL(`/v1/jobs/${job.context.jobId}/events`, url);
    const asStream = { ...AS_ALICE, accept: "text/event-stream" };
    const unreadRest = await fetch(events, { headers: asStream });
    const overRest = last();
    const read = typesIn(await fetch(events, { headers: asStream }));

    for (let n = 0; n < EVENTS; n += 1) await Promise.race([job.context.log("info", EVENT), job.context.flush()]);
    job.finish("done");
    // Who reads gets everything meanwhile.
    expect((await read).filter((type) => type === "job.event")).toHaveLength(EVENTS);
    expect((await read).at(-1)).toBe("job.result");
    const stuck = [overConnection, overRest];
    for (const transport of stuck) {
      await expect.poll(() => transport.bufferedBytes, PATIENTLY).toBeGreaterThan(64 * 1024);
      expect(transport.bufferedBytes).toBeLessThan(6 * MIB);
      expect(transport.isClosed).toBe(false);
    }
    await cutWithinMinutes(clock, stuck);

    // They hear no end: the stream breaks off. What they may have read of it is not all.
    for (const response of [unread, unreadRest]) {
      expect(await typesIn(response).catch(() => [])).not.toContain("job.result");
    }
    // The session is there to be taken up again.
    const again = await fetch(`${connection}/events`, { headers: { ...AS_ALICE, "last-event-id": String(EVENTS) } });
    expect(again.status).toBe(200);
    const reader = again.body?.pipeThrough(new TextDecoderStream() as never).getReader();
    let text = "";
    while (!text.includes("job.result")) text += (await reader?.read())?.value ?? "";
    await reader?.cancel();
  } finally {
    await harness[Symbol.asyncDispose]();
    await running.close();
  }
});
