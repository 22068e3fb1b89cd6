/** A client that asks for more than a connection takes, and does not read it for a while. */
import { type Transport, V1_1_FEATURES } from "@arcp/core";
import type { LineMaker } from "./lines.ts";
import { secretOf } from "./runtime-settings.ts";
import { pause } from "./visitors.ts";

const PRINCIPAL = "bob";
/** Together with what sockets hold by themselves, more than any queue may. */
const FLOOD_EVENTS = 400;

export class VisitorFlood {
  readonly #lines: LineMaker;
  #ids = 0;

  constructor(lines: LineMaker) {
    this.#lines = lines;
  }

  /** Does not read for `forMs`, or until `signal` aborts, and leaves. Never rejects. */
  async run(forMs: number, signal: AbortSignal): Promise<void> {
    let transport: Transport | undefined;
    try {
      transport = await this.#lines.connect({ client: "flood", principal: PRINCIPAL, wire: "1.1" }, signal);
      const welcomed = Promise.withResolvers<string>();
      transport.onFrame((text) => {
        const { type, session_id } = JSON.parse(text) as { readonly type: string; readonly session_id?: string };
        if (type === "session.welcome" && session_id !== undefined) welcomed.resolve(session_id);
      });
      this.#say(transport, "session.hello", undefined, {
        client: { name: "flood", version: "1.0.0" },
        auth: { scheme: "bearer", token: PRINCIPAL },
        capabilities: { encodings: ["json"], features: V1_1_FEATURES.filter((name) => name !== "heartbeat") },
      });
      const session = await Promise.race([welcomed.promise, pause(forMs, signal)]);
      if (session === undefined) return;
      const input = { secret: secretOf(PRINCIPAL), count: FLOOD_EVENTS };
      this.#say(transport, "job.submit", session, { agent: "flooder", input });
      transport.pause();
      await pause(forMs, signal);
    } catch {
      // Nobody is there at the moment.
    } finally {
      transport?.abort("enough");
    }
  }

  #say(transport: Transport, type: string, session: string | undefined, payload: object): void {
    this.#ids += 1;
    const id = `msg_flood-${this.#ids}`;
    transport.send(
      JSON.stringify({ arcp: "1.1", id, type, ...(session !== undefined && { session_id: session }), payload }),
    );
  }
}
