/** Five jobs, and nobody who watches them but a supervisor: `node examples/supervisor/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, ARCPError, type Question, type QuestionAnswer, StaticBearerVerifier } from "@arcp/sdk";
import { HandClock } from "../clock.ts";
import { startModel } from "../model/model.ts";
import { withRuntime } from "../runtime.ts";
import migrate, { options, version } from "./agent.ts";
import { copy, drop, dropped } from "./database.ts";
import { policy } from "./policy.ts";
import { type Deed, Supervisor } from "./supervisor.ts";

const bearer = new StaticBearerVerifier(
  new Map([
    ["team-token", { principal: "team" }],
    ["lab-token", { principal: "lab" }],
    // It answers for the team, and sees and stops the jobs of all.
    ["supervisor-token", { principal: "team", permissions: ["admin"] }],
  ]),
);

const model = await startModel(() => JSON.stringify({ choice: "skip", because: "3 of 12000 rows are few" }));
const clock = new HandClock("2027-03-01T09:00:00Z");
const deeds = new Map<string, string[]>();

function note(jobId: string, line: string): void {
  deeds.set(jobId, [...(deeds.get(jobId) ?? []), line]);
}

function tell(jobId: string, deed: Deed): void {
  const what = deed.kind === "answered" && "choiceId" in deed.answer ? ` ${deed.answer.choiceId}` : "";
  if ("question" in deed) {
    const { question } = deed;
    note(
      jobId,
      `asks "${question.kind === "permission" ? `${question.operation} ${question.resource}?` : question.prompt}"`,
    );
  }
  note(jobId, `${deed.kind}${what}: ${deed.because}`);
}

try {
  await withRuntime(
    {},
    async (connect, server) => {
      server.registerAgent(`migrate@${version}`, migrate, options);
      server.registerTool("database.copy", copy);
      server.registerTool("database.drop", drop);

      await using team = await ARCPClient.connect(connect, { token: "team-token" });
      await using lab = await ARCPClient.connect(connect, { token: "lab-token" });
      const leaseRequest = { "tool.call": ["database.*"], "cost.budget": ["USD:10.00"] };
      const submit = (client: ARCPClient, input: object) => client.submit({ agent: "migrate", input, leaseRequest });
      const jobs = {
        customers: await submit(team, { table: "customers", batches: 3 }),
        orders: await submit(team, { table: "orders", batches: 4 }),
        invoices: await submit(team, { table: "invoices", batches: 2, dropOld: true }),
        events: await submit(lab, { table: "events", batches: 10 }),
        sessions: await submit(team, { table: "sessions", batches: 3 }),
      };

      await using client = await ARCPClient.connect(connect, { token: "supervisor-token" });
      // What is escalated comes to a telephone, which can answer that and do nothing else.
      const escalate = async (question: Question, token: string): Promise<void> => {
        await using phone = await ARCPClient.connect(connect, { token });
        const answer: QuestionAnswer =
          question.kind === "choice" ? { choiceId: question.options[0]?.id ?? "" } : { granted: true };
        await phone.respond(question.id, { ...answer, respondedBy: "phone:mia" });
        note(question.jobId, `${"granted" in answer ? "granted" : "answered"} by phone:mia`);
      };
      await using supervisor = new Supervisor(client, { ...policy, escalate }, tell, clock);
      await supervisor.look();

      const { sessions, ...others } = jobs;
      await Promise.allSettled(Object.values(others).map(({ done }) => done));
      // Nothing happens any more, minute after minute.
      const minutes = setInterval(() => clock.moveTo(new Date(clock.now() + 60_000).toISOString()), 10);
      await sessions.done.catch(() => {});
      clearInterval(minutes);
      await supervisor.close();

      const ends: unknown[] = [];
      for (const [table, { jobId, done }] of Object.entries(jobs)) {
        const end = await done.then(
          ({ result }) => result,
          (error: unknown) => ARCPError.from(error).code,
        );
        ends.push(end);
        console.log(`${table.padEnd(10)} ${end}`);
        for (const line of deeds.get(jobId) ?? []) console.log(`  ${line}`);
      }
      assert.deepEqual(ends.slice(3), ["CANCELLED", "CANCELLED"]);
      assert.deepEqual(dropped, ["invoices_old"]);
    },
    { bearer },
  );
} finally {
  await model[Symbol.asyncDispose]();
}
