/** The job of both examples, and what its caller's span is called. */
export const SPAN = "read the news";

/** @param reporter The agent that the editor delegates to. */
export const storyBy = (reporter: "courier" | "researcher") => ({
  agent: "editor",
  input: { topic: "lighthouses", reporter },
  leaseRequest: {
    ...{ "agent.delegate": ["courier", "researcher"], "tool.call": ["search"] },
    ...{ "model.use": ["small"], "cost.budget": ["USD:1.00"] },
  },
});
