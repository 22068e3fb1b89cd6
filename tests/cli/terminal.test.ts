/** `arcp top` and `arcp watch` in a real terminal, at a real runtime. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Harness, startHarness } from "../support/harness.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import { reasonForNoTmux, Tmux } from "../support/tmux.ts";
import { FragileLine, program } from "./arcp.ts";

const LONG_MS = 120_000;
/** Would clear the screen, set the clipboard and the title, make a link, reorder, and stand on what is before it. */
const HOSTILE =
  "\u001b[2J\u001b]52;c;cm0=\u0007\u001b]0;owned\u0007\u001b]8;;http://evil.test\u0007\u202e\u200b\u0301日本語日本語";

/** The board, with the id of its process in a file. */
const TOP = `sh -c 'echo $$ > pid; exec "$@"' - ${process.execPath} ${program} top; echo "code $?"`;

describe.skipIf(reasonForNoTmux() !== undefined)("in a terminal", () => {
  const puppet = new Puppet();
  let harness: Harness;
  let line: FragileLine;
  let terminal: Tmux;
  let directory: string;

  beforeAll(async () => {
    const { handler } = puppet;
    harness = startHarness({
      carrier: "websocket",
      agents: { deploy: handler, search: handler, hostile: handler },
      server: { cancelAuthority: "principal" },
    });
    line = await FragileLine.to(Number(new URL(await harness.url()).port));
    directory = await mkdtemp(join(tmpdir(), "arcp-terminal-"));
    const url = `ws://127.0.0.1:${line.port}/arcp`;
    terminal = await Tmux.start({ columns: 120, rows: 30, env: { ARCP_URL: url, ARCP_TOKEN: "alice" } });
    await terminal.type(
      `cd ${directory}; arcp() { ${process.execPath} ${program} "$@"; echo "code $?"; }; clear; echo before`,
    );
    await terminal.shows(/^before$/m);
  }, LONG_MS);

  afterAll(async () => {
    await terminal?.[Symbol.asyncDispose]();
    await line?.[Symbol.asyncDispose]();
    await harness?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  }, LONG_MS);

  /** A job that does what the test says, and the client that has submitted it. */
  async function submit(agent: string, leaseRequest: Record<string, readonly string[]> = {}) {
    const client = await harness.client({ token: "alice" });
    const job = await client.submit({ agent, input: null, leaseRequest });
    const run: Run = await puppet.next();
    job.done.catch(() => {});
    return { job, run };
  }

  /** The first screen is back, the cursor is shown, and the shell reads lines. */
  async function isRestored(): Promise<void> {
    expect(await terminal.fact("#{alternate_on} #{cursor_flag} #{wrap_flag}")).toBe("0 1 1");
    const screen = await terminal.screen();
    expect(screen).toContain("before");
    expect(screen).not.toContain("arcp top ws:");
    await terminal.type("echo back$((1 + 1)); clear; echo before");
    await terminal.shows(/^before$/m);
  }

  it("top: what jobs do, as they do it, and what one does to them", { timeout: LONG_MS }, async () => {
    const deploy = await submit("deploy", { "cost.budget": ["USD:2"] });
    const search = await submit("search");
    const hostile = await submit("hostile");
    await hostile.run.context.status(HOSTILE, HOSTILE);
    await hostile.run.context.progress(1, { total: 2, message: HOSTILE });
    await terminal.type(TOP);
    await terminal.shows("● live");
    await deploy.run.context.progress(1, { total: 4 });
    await deploy.run.context.metric({ name: "cost.llm", value: 0.5, unit: "USD" });
    let screen = await terminal.shows(/deploy@\S+ .* 25% .* 1\.5 of 2 USD/);
    expect(screen).toContain("0 need you · 3 running");
    // Everything of the hostile one is in its row, and in the line of the chosen job, which it is as the youngest.
    expect(screen).toMatch(/^. ● running {3}hostile@\S+ .* 50% .*\\u\{1b\}\[2J\\u\{1b\}/m);
    expect(screen.split("\n").filter((row) => row.includes("\\u{1b}"))).toHaveLength(2);
    expect(await terminal.fact("#{pane_title} #{window_name}")).not.toContain("owned");
    expect(await terminal.fact("#{buffer_size}")).toBe("");

    // A question comes first, with its end, and is answered where it is.
    const asked = search.run.context.requestHumanInput({
      ...{ prompt: "Which branch?", responseSchema: { type: "string", enum: ["main", "dev"] }, default: "dev" },
      expiresInMs: 600_000,
    });
    await terminal.shows(/1 need you[\s\S]*\? needs you search@.*Which branch\?[\s\S]*hostile@/);
    await terminal.press("g");
    await terminal.shows(/asks: Which branch\? · \d+:\d\d left, then the answer is "dev"/);
    await terminal.press("a");
    await terminal.shows("◆  Which branch?");
    await terminal.press("Up", "Enter");
    expect(await asked).toMatchObject({ value: "main" });
    await terminal.shows(/^answered$/m);

    // A narrow, low window has the columns that matter most; the wide one has all again.
    await terminal.resize(58, 12);
    screen = await terminal.shows(/^ {2}STATUS +AGENT +AGE$/m);
    expect(screen.split("\n").every((row) => row.length <= 58)).toBe(true);
    await terminal.resize(120, 30);
    await terminal.shows("BUDGET LEFT");

    // A text leaves the others out, and so does cancelling only when one says yes.
    await terminal.press("/");
    await terminal.type("deploy");
    await terminal.shows(/only: text “deploy”[\s\S]* 1–1 of 1, 3 in all/);
    await terminal.press("c");
    await terminal.shows(/Ask deploy@\S+ job_\w+ to stop\?/);
    await terminal.press("n");
    await terminal.shows(/^not cancelled$/m);
    await terminal.press("c");
    await terminal.shows("to stop?");
    await terminal.press("y");
    await terminal.shows("was asked to stop");
    expect(deploy.run.context.signal.aborted).toBe(true);
    deploy.run.fail(deploy.run.context.signal.reason);
    await terminal.shows(/✖ cancelled deploy@/);
    await terminal.press("Escape");
    await terminal.shows("1–3 of 3");

    // Nothing is live while the runtime cannot be reached, and then it is again.
    line.isDown = true;
    line.cut();
    await terminal.shows(/○ offline, reconnecting \(\d+\), this is \d+:\d\d old/);
    line.isDown = false;
    await terminal.shows("● live");
    const late = await submit("deploy");
    await terminal.shows("3 running");

    // A job is opened on the first screen, and left again.
    await terminal.press("g", "Enter");
    await terminal.shows("q leaves, the job goes on");
    expect(await terminal.fact("#{alternate_on}")).toBe("0");
    await terminal.press("q");
    await terminal.shows("● live");
    await terminal.press("q");
    await terminal.shows(/^code 0$/m);
    await isRestored();

    await terminal.type(TOP);
    await terminal.shows("● live");
    process.kill(Number(await readFile(join(directory, "pid"), "utf8")), "SIGTERM");
    await terminal.shows(/^code 130$/m);
    await isRestored();
    for (const { run } of [search, hostile, late]) run.finish();
  });

  it("watch: all of a job, through a cut line, and its question", { timeout: LONG_MS }, async () => {
    const { job, run } = await submit("deploy", {
      "cost.budget": ["USD:2"],
      "fs.read": ["/srv/**"],
      "agent.delegate": ["search"],
    });
    const { context } = run;
    await context.log("info", "event 1");
    await context.thought("first thought");
    await context.thought(`second ${HOSTILE}`);
    await context.toolCall({ tool: "build", args: { target: "app" }, call_id: "c1" });
    await context.toolResult({ call_id: "c1", result: { size: 7 } });
    await expect(context.fs.read("/etc/passwd")).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await context.progress(1, { total: 2 });
    await terminal.type(`arcp watch ${job.jobId}`);
    const screen = await terminal.shows("q leaves, the job goes on");
    expect(screen).toMatch(/tool {5}build \{"target":"app"\} → \{"size":7\} · \d+ ms/);
    expect(screen).toMatch(/thought {2}first thought \(2 thoughts, \d+ characters\)/);
    expect(screen).toMatch(/denied .*PERMISSION_DENIED[\s\S]*it would take fs\.read: \/etc\/passwd/);
    expect(screen).toContain("2 of 2 USD left");
    expect(screen).toMatch(/ 50% 1\/2/);

    await context.toolCall({ tool: "search", args: { q: "x" }, call_id: "c2" });
    await terminal.shows(/→ \d:\d\d search \{"q":"x"\}/);
    for (let n = 2; n <= 10; n += 1) await context.log("info", `event ${n}`);
    await terminal.shows("event 10");
    line.isDown = true;
    line.cut();
    for (let n = 11; n <= 20; n += 1) await context.log("info", `event ${n}`);
    await terminal.shows("reconnecting… attempt");
    line.isDown = false;
    await terminal.shows("resumed, nothing missed");

    await terminal.resize(70, 24);
    const asked = context.requestHumanChoice({
      ...{
        prompt: "And now?",
        options: [
          { id: "go", label: "Go on" },
          { id: "stop", label: "Stop" },
        ],
      },
      expiresInMs: 600_000,
    });
    await terminal.shows(/\? And now\? \d+:\d\d left, then nobody has answered/);
    await terminal.press("a");
    await terminal.shows("◆  And now?");
    await terminal.press("Down", "Enter");
    expect(await asked).toMatchObject({ choiceId: "stop" });
    await terminal.shows(/^ {2}answered$/m);

    // A job that it delegates to is found, and asks here, too.
    const child = context.delegate({ agent: "search", delegate_id: "d1" });
    const delegated = await puppet.next();
    await terminal.shows(/^ {2}↳ \d:\d\d search@\S+ job_/m);
    const childAsks = delegated.context.requestHumanChoice({
      prompt: "A child asks?",
      options: [{ id: "yes", label: "Yes" }],
    });
    await terminal.shows("? A child asks?");
    await terminal.press("a");
    await terminal.shows("◆  A child asks?");
    await terminal.press("Enter");
    expect(await childAsks).toMatchObject({ choiceId: "yes" });
    delegated.finish();
    await child.done;
    await terminal.shows(/↳ job_\w+ ✔ success$/m);
    run.finish("done");
    await terminal.shows(/^code 0$/m);
    const whole = await terminal.scrollback();
    for (let n = 1; n <= 20; n += 1) expect(whole.match(new RegExp(` event ${n}$`, "gm")), String(n)).toHaveLength(1);
    expect(whole).toMatch(/tool {5}→ search/);
    expect(whole).toMatch(/✔ success after \d/);
    await terminal.type("clear; echo before");
    await terminal.shows(/^before$/m);
    await isRestored();
  });

  it("respond: picks a question, answers it, and leaves the other one open", { timeout: LONG_MS }, async () => {
    const { run } = await submit("deploy");
    const input = { responseSchema: { type: "string", enum: ["main", "dev"] }, default: "dev" };
    const first = run.context.requestHumanInput({ ...input, prompt: "First branch?", expiresInMs: 600_000 });
    const second = run.context.requestHumanInput({ ...input, prompt: "Second branch?", expiresInMs: 900_000 });
    await terminal.type("arcp respond");
    await terminal.shows("2 open questions. Which one?");
    await terminal.shows(/● First branch\? · \d+:\d\d left, then the answer is "dev"$/m);
    await terminal.press("Down", "Enter");
    await terminal.shows("◆  Second branch?");
    await terminal.press("Up", "Enter");
    expect(await second).toMatchObject({ value: "main" });
    // The other one is put right away, and left to others.
    await terminal.shows("◆  First branch?");
    await terminal.press("C-c");
    await terminal.shows(/^code 130$/m);
    run.finish();
    await first.catch(() => {});
    await terminal.type("clear; echo before");
    await isRestored();
  });
});
