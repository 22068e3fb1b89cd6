/** A page that submits a job and shows what it says, whatever happens to its connection. */
import { ARCPClient, type ConnectionState, type JobHandle, type ResumeInfo } from "@arcp/client";

const TO = 40;
/** What comes so soon after a connection was made was missed. */
const CATCHING_UP_MS = 50;

/** What a reload of the page must not lose. It opens the session: it belongs where the token may be, and no longer. */
interface Kept {
  readonly resume: ResumeInfo;
  readonly jobId: string;
  readonly numbers: readonly number[];
}

const element = <Kind extends HTMLElement>(id: string): Kind => document.getElementById(id) as Kind;
const submitButton = element<HTMLButtonElement>("submit");
const networkButton = element<HTMLButtonElement>("network");
const numbers: number[] = [];

function phaseOf(state: ConnectionState): string {
  if (state.phase === "reconnecting") return `reconnecting, attempt ${state.attempt}`;
  return state.phase === "connected" && state.isResumed ? "connected again" : state.phase;
}

function show(n: number, isCaughtUp: boolean): void {
  numbers.push(n);
  const item = document.createElement("li");
  item.textContent = String(n);
  item.classList.toggle("caught-up", isCaughtUp);
  element("numbers").append(item);
  const isWhole = numbers.every((number, index) => number === index + 1);
  const count = numbers.length;
  element("summary").textContent = isWhole ? `1 to ${count}, each once` : `NOT 1 to ${count}: ${numbers.join(" ")}`;
}

/** @param connectedAt When the connection was made that may have things to catch up with. */
async function follow(client: ARCPClient, job: JobHandle, connectedAt = Number.NEGATIVE_INFINITY): Promise<void> {
  element("job").textContent = "running";
  submitButton.disabled = true;
  let lastConnectedAt = connectedAt;
  const stop = client.on("state", () => {
    lastConnectedAt = performance.now();
  });
  try {
    for await (const event of job) {
      if (event.kind !== "log") continue;
      const isCaughtUp = performance.now() - lastConnectedAt < CATCHING_UP_MS;
      show(Number(event.body.message), isCaughtUp);
      if (client.resumeInfo) keep({ resume: client.resumeInfo, jobId: job.jobId, numbers });
    }
    const { result } = await job.done;
    element("job").textContent = `success: ${JSON.stringify(result)}`;
  } catch (error) {
    element("job").textContent = `failed: ${String(error)}`;
  } finally {
    stop();
    sessionStorage.clear();
    submitButton.disabled = false;
  }
}

function keep(kept: Kept): void {
  sessionStorage.setItem("kept", JSON.stringify(kept));
}

function kept(): Kept | undefined {
  const text = sessionStorage.getItem("kept");
  return text === null ? undefined : (JSON.parse(text) as Kept);
}

/** Takes the session of before the reload up again; if there is none any more, opens another one. */
async function connect(url: string, token: string, before: Kept | undefined): Promise<ARCPClient> {
  const reconnect = { initialDelayMs: 100, maxDelayMs: 500 };
  if (before === undefined) return ARCPClient.connect(url, { token, reconnect });
  try {
    return await ARCPClient.connect(url, { token, reconnect, resume: before.resume });
  } catch {
    sessionStorage.clear();
    return ARCPClient.connect(url, { token, reconnect });
  }
}

async function main(): Promise<void> {
  const { runtimeUrl, token } = (await (await fetch("/settings")).json()) as {
    readonly runtimeUrl: string;
    readonly token: string;
  };
  const before = kept();
  const client = await connect(runtimeUrl, token, before);
  const showState = (state: ConnectionState): void => {
    element("connection").textContent = phaseOf(state);
  };
  client.on("state", showState);
  showState(client.state);

  if (before !== undefined && kept() !== undefined) {
    for (const n of before.numbers) show(n, false);
    void follow(client, client.job(before.jobId), performance.now());
  } else submitButton.disabled = false;

  submitButton.addEventListener("click", async () => {
    numbers.length = 0;
    element("numbers").replaceChildren();
    await follow(client, await client.submit({ agent: "counter", input: { to: TO } }));
  });

  let isUp = true;
  networkButton.disabled = false;
  networkButton.addEventListener("click", async () => {
    isUp = !isUp;
    await fetch("/network", { method: "PUT", body: isUp ? "up" : "down" });
    networkButton.textContent = isUp ? "Cut the network" : "Bring the network back";
  });
}

main().catch((error: unknown) => {
  element("connection").textContent = `failed: ${String(error)}`;
});
