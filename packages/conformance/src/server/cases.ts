/** Every case of the server suite. */
import type { Case } from "../case.ts";
import type { Wire } from "../requirements.ts";
import type { ServerContext } from "./context.ts";
import { handshakeCases } from "./v1.1/handshake.ts";

const CASES: readonly Case<ServerContext>[] = [...handshakeCases];

/** The cases for runtimes of a wire, in the order of its specification. */
export function serverCases(wire: Wire): readonly Case<ServerContext>[] {
  return CASES.filter((aCase) => aCase.wire === wire);
}
