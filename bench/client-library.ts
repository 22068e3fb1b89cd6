/** The stream scenario through the project's own client, for what the client itself costs. */
import { ARCPClient } from "@arcp/client";
import type { StreamInput } from "./server-control.ts";
import { BENCH_TOKEN } from "./wire-client.ts";

export async function clientLibraryStream(
  url: string,
): Promise<{ stream: (input: StreamInput) => Promise<void>; close: () => Promise<void> }> {
  const client = await ARCPClient.connect(url, {
    client: { name: "bench", version: "1.0.0" },
    token: BENCH_TOKEN,
  });
  return {
    async stream(input) {
      const job = await client.submit({ agent: "stream", input });
      let logs = 0;
      for await (const event of job) if (event.kind === "log") logs += 1;
      await job.done;
      if (logs !== input.count) throw new Error(`${logs} of ${input.count} events arrived`);
    },
    close: () => client.close(),
  };
}
