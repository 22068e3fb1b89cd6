/** The sessions behind the requests: one for each client, as long as it asks for something or its jobs live. */
import { createHash } from "node:crypto";
import { EXTENSION_FEATURE, type TransportPeer, V1_1_FEATURES } from "@arcp/core";
import { type Accept, Caller, type Frame } from "./caller.ts";

/** Everything but what a request cannot take part in. */
const FEATURES = [...V1_1_FEATURES.filter((name) => name !== "heartbeat" && name !== "ack"), EXTENSION_FEATURE];
/** Without pieces, a result comes whole with the message of the end. */
const WHOLE_RESULTS = FEATURES.filter((name) => name !== "result_chunk");
const ARTIFACTS = { artifacts: true, binary_encoding: ["base64", "sidecar"] };
const CLIENT = { name: "arcp-rest", version: "1" };
const IDLE_MS = 60_000;
const SWEEP_MS = 5_000;
const MAX_CALLERS = 1_000;

interface Held {
  readonly caller: Promise<Caller>;
  /** Jobs that were submitted here and have not ended. */
  readonly jobs: Set<string>;
  usedAt: number;
}

/** What a session of wire 1.1 is opened with; who asks is said by the peer's token. */
const hello = (features: readonly string[]): { readonly type: string; readonly payload: object } => ({
  type: "session.hello",
  payload: { client: CLIENT, capabilities: { encodings: ["json"], features } },
});

export class Callers {
  readonly #accept: Accept;
  readonly #held = new Map<string, Held>();
  readonly #timer: ReturnType<typeof setInterval>;
  #isClosed = false;

  constructor(accept: Accept) {
    this.#accept = accept;
    this.#timer = setInterval(() => this.#sweep(performance.now()), SWEEP_MS);
    this.#timer.unref();
  }

  /** The session of whoever asks. Rejects with the runtime's refusal; then nothing is kept. */
  async of(peer: TransportPeer): Promise<Caller> {
    const { held } = this.#find(peer);
    return held.caller;
  }

  /** The session lives as long as the job does: it alone may be allowed to cancel it (§7.4). */
  keepFor(peer: TransportPeer, jobId: string): void {
    this.#find(peer).held.jobs.add(jobId);
  }

  /** A session for one request that reads what jobs write. To be closed by the caller. */
  observer(
    peer: TransportPeer,
    onNumbered: (frame: Frame) => void,
    results: "pieces of results" | "whole results" = "pieces of results",
  ): Promise<Caller> {
    const features = results === "whole results" ? WHOLE_RESULTS : FEATURES;
    return Caller.open({ accept: this.#accept, peer, wire: "1.1", opening: hello(features), onNumbered });
  }

  /** A session of wire 1.0 for one request about artifacts, which 1.1 has no messages for. To be closed by the caller. */
  forArtifacts(peer: TransportPeer): Promise<Caller> {
    const { bearerToken, certificateFingerprint: fingerprint } = peer;
    const certified = bearerToken === undefined && fingerprint !== undefined;
    const client = { kind: CLIENT.name, version: CLIENT.version, ...(certified && { fingerprint }) };
    const auth = certified ? { auth: { scheme: "mtls" } } : {};
    const payload = { client, ...auth, capabilities: { ...ARTIFACTS, anonymous: true } };
    const opening = { type: "session.open", payload };
    return Caller.open({ accept: this.#accept, peer, wire: "1.0", opening, onNumbered: () => {} });
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const key of this.#held.keys()) this.#drop(key);
  }

  #find(peer: TransportPeer): { readonly held: Held } {
    const key = keyOf(peer);
    const known = this.#held.get(key);
    if (known !== undefined) {
      known.usedAt = performance.now();
      // The one that was used last is dropped last.
      this.#held.delete(key);
      this.#held.set(key, known);
      return { held: known };
    }
    const held: Held = { caller: this.#open(key, peer), jobs: new Set(), usedAt: performance.now() };
    this.#held.set(key, held);
    const oldest = this.#held.size > MAX_CALLERS ? this.#held.keys().next().value : undefined;
    if (oldest !== undefined) this.#drop(oldest);
    return { held };
  }

  #open(key: string, peer: TransportPeer): Promise<Caller> {
    const forget = (): void => {
      if (this.#held.get(key)?.caller === caller) this.#held.delete(key);
    };
    const onNumbered = ({ type, job_id }: Frame): void => {
      if (job_id !== undefined && (type === "job.result" || type === "job.error")) {
        this.#held.get(key)?.jobs.delete(job_id);
      }
    };
    const caller = Caller.open({ accept: this.#accept, peer, wire: "1.1", opening: hello(WHOLE_RESULTS), onNumbered });
    caller.then(({ closed }) => closed.then(forget), forget);
    return caller;
  }

  #drop(key: string): void {
    const held = this.#held.get(key);
    this.#held.delete(key);
    held?.caller.then(
      (caller) => caller.close(),
      () => {},
    );
  }

  #sweep(now: number): void {
    if (this.#isClosed) return;
    for (const [key, { jobs, usedAt }] of this.#held) if (jobs.size === 0 && now - usedAt > IDLE_MS) this.#drop(key);
  }
}

/** Clients are the same if they show the same token and the same certificate, from the same place. The token itself is not kept. */
function keyOf({ bearerToken, certificateFingerprint, remoteAddress, isConfidential }: TransportPeer): string {
  const token = bearerToken === undefined ? "" : createHash("sha256").update(bearerToken).digest("base64url");
  return [token, certificateFingerprint, remoteAddress, isConfidential].join(" ");
}
