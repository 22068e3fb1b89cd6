/** The job of both examples, and what its caller's span is called. */
export const SPAN = "read the news";

export const STORY = {
  agent: "editor",
  input: { topic: "lighthouses" },
  leaseRequest: {
    ...{ "agent.delegate": ["courier", "researcher"], "tool.call": ["search"] },
    ...{ "model.use": ["small"], "cost.budget": ["USD:1.00"] },
  },
};
