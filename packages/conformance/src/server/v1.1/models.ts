/** §9.7: the models that a job may use. */
import { v11 } from "./case.ts";
import { decides } from "./operations.ts";

export const modelCases = [
  v11(
    "models/globs",
    "models are matched by the lease's patterns",
    ["9.7-01", "9.7-02"],
    ["operate"],
    async (context) => {
      const peer = await context.session();
      await decides(
        context,
        peer,
        "V11-9.7-01",
        "model.use",
        "tier-fast/*",
        ["tier-fast/a"],
        ["tier-slow/a", "tier-fast"],
      );
      await decides(
        context,
        peer,
        "V11-9.7-02",
        "model.use",
        "vendor/gpt-9.5:latest",
        ["vendor/gpt-9.5:latest"],
        ["vendor/gpt-9x5:latest"],
      );
    },
  ),
];
