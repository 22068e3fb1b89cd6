/** §6.1 and §6.2: who is let in, and what is agreed on. */
import type { Case } from "../../case.ts";
import { anInteger, aPositiveNumber, aString, listOf, shape, someText } from "../../matcher.ts";
import type { ServerContext } from "../context.ts";

const wire = "1.1";

export const handshakeCases: readonly Case<ServerContext>[] = [
  {
    id: "handshake/welcome",
    wire,
    requirements: ["V11-6.2-02", "V11-5.1-06", "V11-6.2-13"],
    title: "a hello is answered with a welcome that has everything",
    run: async (context) => {
      const peer = await context.connect();
      const welcome = await context.greet(peer, {}, "V11-6.2-02");
      context.judge.expect("V11-5.1-06", "session.welcome.session_id", welcome.session_id, someText);
      context.judge.expect(
        "V11-6.2-13",
        "session.welcome.payload.resume_token",
        welcome.payload?.resume_token,
        someText,
      );
      context.judge.expect(
        "V11-6.2-02",
        "session.welcome.payload",
        welcome.payload,
        shape({
          runtime: shape({ name: someText, version: aString }),
          resume_token: someText,
          resume_window_sec: anInteger,
          heartbeat_interval_sec: aPositiveNumber,
          capabilities: shape({
            encodings: listOf(aString),
            features: listOf(aString),
            agents: listOf(shape({ name: someText })),
          }),
        }),
      );
    },
  },
];
