/** Tools: an agent that may search, and tries to delete. */
import { showAttempts } from "./attempts.ts";
import type { Proof } from "./proof.ts";
import type { Stage } from "./stage.ts";

export async function boundTools(stage: Stage, proof: Proof): Promise<void> {
  const called = new Map<string, number>();
  for (const name of ["search.web", "records.delete"]) {
    stage.server.registerTool(name, {
      inputSchema: { type: "object", properties: { id: { type: "integer" } }, required: ["id"] },
      handler() {
        called.set(name, (called.get(name) ?? 0) + 1);
        return "done";
      },
    });
  }
  proof.title("Tools. The lease: tool.call search.*");
  await showAttempts(stage, proof, {
    agent: "caller",
    capability: "tool.call",
    lease: { "tool.call": ["search.*"] },
    attempts: [
      { what: "calls search.web", target: "search.web", expected: "allowed" },
      { what: "calls records.delete", target: "records.delete", expected: "PERMISSION_DENIED" },
      {
        what: "calls search.web/../records.delete",
        target: "search.web/../records.delete",
        expected: "PERMISSION_DENIED",
      },
      { what: "calls search.all, which there is not", target: "search.all", expected: "INVALID_REQUEST" },
    ],
    act: ({ target }, context) => context.callTool(target, { id: 1 }),
    otherwise: "no pattern would change that",
  });
  proof.fact("search.web ran once", called.get("search.web") === 1);
  proof.fact("records.delete never ran", !called.has("records.delete"));
}
