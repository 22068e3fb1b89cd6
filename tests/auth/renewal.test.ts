/** A client whose token ends in the middle of its work: it comes back by itself with the next one, and misses nothing. */
import { jwtVerifier, oauth2Verifier, type TokenScheme } from "@arcp/runtime";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import { ALL_CAPABILITIES } from "../support/raw-client-10.ts";
import { IssuerServer } from "./issuer-server.ts";
import { AUDIENCE, claimsAt, SigningKey } from "./tokens.ts";

const MINUTE_MS = 60_000;

interface Issued extends AsyncDisposable {
  readonly verifier: TokenScheme;
  /** A token that is good for a minute. */
  token(): Promise<string>;
}

async function jwts(clock: ManualClock): Promise<Issued> {
  const key = await SigningKey.generate("ES256");
  const jwks = { keys: [await key.jwk()] };
  const expiring = () => ({ exp: Math.floor((clock.now() + MINUTE_MS) / 1000) });
  return {
    verifier: jwtVerifier({ audience: AUDIENCE, jwks, clock }),
    token: () => key.sign(claimsAt(clock.now(), expiring())),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function opaque(clock: ManualClock): Promise<Issued> {
  const ends = new Map<string, number>();
  const issuer = await IssuerServer.start((_request, response) => {
    const token = new URLSearchParams(issuer.requests.at(-1)?.body).get("token") ?? "";
    const exp = Math.floor((ends.get(token) ?? 0) / 1000);
    response.end(JSON.stringify(exp * 1000 > clock.now() ? { active: true, sub: "alice", exp } : { active: false }));
  });
  const client = { clientId: "runtime", clientSecret: "secret" };
  return {
    verifier: oauth2Verifier({ introspectionEndpoint: issuer.url, ...client, revalidateSeconds: 3600, clock }),
    token: async () => {
      const token = `token-${ends.size}`;
      ends.set(token, clock.now() + MINUTE_MS);
      return token;
    },
    [Symbol.asyncDispose]: () => issuer[Symbol.asyncDispose](),
  };
}

const KINDS = [
  ["JWTs", jwts],
  ["tokens that an issuer is asked about", opaque],
] as const;

test.each(KINDS)(
  "on wire 1.1, with %s: the connection ends, and the session goes on with another token",
  async (_kind, issue) => {
    covers("V11-6.1-01");
    const clock = new ManualClock();
    await using issued = await issue(clock);
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, bearer: issued.verifier.bearer, features: ["ack", "subscribe"] },
    });
    let shown = 0;
    const client = await harness.persistentClient({
      token: () => {
        shown += 1;
        return issued.token();
      },
    });
    const session = client.session?.sessionId;
    const job = await client.submit({ agent: "puppet" });
    const run = await puppet.next();
    const heard: string[] = [];
    const reading = (async () => {
      for await (const event of job.events()) if (event.kind === "log") heard.push(event.body.message);
    })();
    for (let minute = 1; minute <= 3; minute += 1) {
      await emitLogs(run, 5, minute * 5 - 4);
      clock.advance(MINUTE_MS);
      await expect.poll(() => shown).toBe(minute + 1);
      await expect.poll(() => client.state.phase).toBe("connected");
    }
    run.finish("done");
    expect((await job.done).result).toBe("done");
    await reading;
    expect(client.session?.sessionId).toBe(session);
    expect(heard).toEqual(Array.from({ length: 15 }, (_, index) => String(index + 1)));
  },
);

test.each(KINDS)(
  "on wire 1.0, with %s: the runtime asks for another token before the first one ends",
  async (_kind, issue) => {
    covers("V10-8.4-01");
    const clock = new ManualClock();
    await using issued = await issue(clock);
    await using harness = startHarness({
      server: { clock, authSchemes: [issued.verifier], refreshDeadlineMs: 20_000 },
    });
    const client = await harness.raw10();
    const { scheme } = issued.verifier;
    const capabilities = { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 86_400 };
    const accepted = await client.open({ auth: { scheme, token: await issued.token() }, capabilities });
    expect(accepted.type).toBe("session.accepted");
    for (let minute = 0; minute < 3; minute += 1) {
      clock.advance(45_000);
      expect((await client.next("session.refresh")).payload.deadline_ms).toBe(20_000);
      const renewed = await client.ask("session.authenticate", { auth: { scheme, token: await issued.token() } });
      expect(renewed.type).toBe("ack");
    }
    clock.advance(MINUTE_MS);
    expect((await client.next("session.evicted")).payload.code).toBe("UNAUTHENTICATED");
  },
);
