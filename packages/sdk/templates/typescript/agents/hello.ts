/** An agent is a function of its input. This one greets: `{ "name": "Ada" }`. */
import { InvalidRequestError, type JobContext } from "@arcp/sdk";

export const version = "1.0.0";

const GREETINGS = ["Hello", "Bonjour", "Hallo", "Ciao", "Salam"];

/** What it returns is the job's result, what it throws is the job's error. Whoever watches sees what it says meanwhile. */
export default async function hello(input: unknown, job: JobContext): Promise<{ greetings: string[] }> {
  const name = nameIn(input);
  const greetings: string[] = [];
  for (const greeting of GREETINGS) {
    await job.sleep(200); // ends at once, with an error, when the job is cancelled
    greetings.push(`${greeting}, ${name}!`);
    await job.progress(greetings.length, { total: GREETINGS.length, message: greeting });
  }
  await job.log("info", `greeted ${name} in ${greetings.length} languages`);
  return { greetings };
}

function nameIn(input: unknown): string {
  const name = typeof input === "object" && input !== null && "name" in input ? input.name : "world";
  if (typeof name === "string" && name !== "") return name;
  throw new InvalidRequestError('a name is text that is not empty, such as { "name": "Ada" }');
}
