/** An agent is a function of its input. This one greets: `{ "name": "Ada" }`. */
import type { AgentOptions, JobContext } from "@arcp/sdk";

export const version = "1.0.0";

/** What others may know of it. The runtime refuses what does not keep the schema, and the dashboard makes a form of it. */
export const options: AgentOptions = {
  description: "Greets, in five languages",
  inputSchema: {
    type: "object",
    properties: { name: { type: "string", minLength: 1, description: "Whom to greet", default: "world" } },
  },
};

const GREETINGS = ["Hello", "Bonjour", "Hallo", "Ciao", "Salam"];

/** What it returns is the job's result, what it throws is the job's error. Whoever watches sees what it says meanwhile. */
export default async function hello(input: unknown, job: JobContext): Promise<{ greetings: string[] }> {
  const { name = "world" } = input as { name?: string };
  const greetings: string[] = [];
  for (const greeting of GREETINGS) {
    await job.sleep(200); // ends at once, with an error, when the job is cancelled
    greetings.push(`${greeting}, ${name}!`);
    await job.progress(greetings.length, { total: GREETINGS.length, message: greeting });
  }
  await job.log("info", `greeted ${name} in ${greetings.length} languages`);
  return { greetings };
}
