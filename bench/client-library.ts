/** The stream scenario through the project's own client, for what the client itself costs. */
import type { StreamInput } from "./server-control.ts";
import { BENCH_TOKEN } from "./wire-client.ts";

/** The part of the client library that is measured. */
interface ClientModule {
  readonly ARCPClient: new (options: object) => MeasuredClient;
}
interface MeasuredClient {
  connect(url: string): Promise<unknown>;
  submit(options: { agent: string; input: unknown }): Promise<MeasuredJob>;
  close(): Promise<void>;
}
interface MeasuredJob {
  readonly events: AsyncIterable<{ readonly kind: string }>;
  readonly done: Promise<unknown>;
}

const CLIENT_PACKAGE: string = "@arcp/client";

export async function clientLibraryStream(
  url: string,
): Promise<{ stream: (input: StreamInput) => Promise<void>; close: () => Promise<void> }> {
  const { ARCPClient } = (await import(CLIENT_PACKAGE)) as ClientModule;
  const client = new ARCPClient({ client: { name: "bench", version: "1.0.0" }, token: BENCH_TOKEN });
  await client.connect(url);
  return {
    async stream(input) {
      const job = await client.submit({ agent: "stream", input });
      let logs = 0;
      for await (const event of job.events) if (event.kind === "log") logs += 1;
      await job.done;
      if (logs !== input.count) throw new Error(`${logs} of ${input.count} events arrived`);
    },
    close: () => client.close(),
  };
}
