/** What is refused inside the protocol is refused alike, whatever carries it: every transport, every adapter. */
import { ARCPError } from "@arcp/core";
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { HOSTS } from "../adapters/hosts.ts";
import { HTTP_HOSTS } from "../adapters/http-hosts.ts";
import { CARRIERS, OTHER_CARRIERS, startHarness } from "../support/harness.ts";
import { BAD_CREDENTIALS, BAD_DESTINATIONS } from "./credentials-and-targets.ts";
import { AGENTS, refused, stillWorks } from "./hostile-client.ts";
import { envelope, MALFORMED } from "./malformed-frames.ts";

const EVERYWHERE = [
  ...[...CARRIERS, ...OTHER_CARRIERS].map((name) => [name, name] as const),
  ...HOSTS.map((host) => [`WebSockets of ${host.name}`, host] as const),
  ...HTTP_HOSTS.map((host) => [`HTTP of ${host.name}`, host] as const),
];

const codeOf = async (url: string, { fetch }: JobContext): Promise<readonly [string, string]> => {
  try {
    await fetch(url);
    return [url, "let through"];
  } catch (error) {
    return [url, ARCPError.from(error).code];
  }
};

describe.each(EVERYWHERE)("over %s", (_name, carrier) => {
  test("malformed frames are refused, and the session goes on", async () => {
    await using harness = startHarness({ carrier, agents: AGENTS });
    const client = await harness.rawSession();
    for (const [index, [, text]] of MALFORMED.entries()) {
      await refused(client, text);
      // Twenty in a row would end the connection.
      if (index % 15 !== 14) continue;
      client.send("session.ping", {});
      expect((await client.next()).type).toBe("session.pong");
    }
    await stillWorks(client);
  });

  test("bad credentials let nobody in, and end the connection", async () => {
    await using harness = startHarness({ carrier, server: { authAttempts: "unlimited" } });
    const closes = new Set<number>();
    for (const [name, auth, code] of BAD_CREDENTIALS) {
      const client = await harness.raw();
      client.sendText(envelope("session.hello", { auth, client: { name: "alice", version: "1" } }));
      const answer = await client.next();
      expect([name, answer.type, answer.payload.code]).toEqual([name, "session.error", code]);
      closes.add((await client.transport.closed).code);
    }
    // Only WebSockets, and memory, have codes of ours.
    const peer = (await harness.transport()).peer.kind;
    expect([...closes]).toEqual([peer === "websocket" || peer === "memory" ? 4401 : 1000]);
  });

  test("agents get no further than their lease", async () => {
    const seen: (readonly [string, string])[] = [];
    const visitor = async (_input: unknown, context: JobContext): Promise<void> => {
      for (const [url] of BAD_DESTINATIONS) seen.push(await codeOf(url, context));
    };
    await using harness = startHarness({ carrier, agents: { visitor } });
    const client = await harness.client();
    const leaseRequest = { "net.fetch": ["https://api.example.com/v1/**"] };
    await (await client.submit({ agent: "visitor", leaseRequest })).done;
    expect(seen).toEqual(BAD_DESTINATIONS);
  });
});
