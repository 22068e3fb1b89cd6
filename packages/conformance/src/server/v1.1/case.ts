/** How a case of wire 1.1 is written down. */
import type { Case } from "../../case.ts";
import type { ServerContext } from "../context.ts";

/** A case for `id`, which judges what it names. `needs` are behaviours and abilities. */
export function v11(
  id: string,
  title: string,
  requirements: readonly string[],
  needs: readonly string[],
  run: (context: ServerContext) => Promise<void>,
  deadlineMs?: number,
): Case<ServerContext> {
  const full = requirements.map((name) => `V11-${name}`);
  return {
    id,
    wire: "1.1",
    title,
    requirements: full,
    needs,
    run,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  };
}
