/** Models: an agent that takes its job's key past the runtime, straight to the gateway, as often as it can. */
import { ModelGateway } from "@arcp/gateway";
import type { CredentialProvisioner, JobContext } from "@arcp/sdk";
import type { Proof } from "./proof.ts";
import type { Stage } from "./stage.ts";
import { startWebServer, type WebServer } from "./web-server.ts";

const VENDOR_KEY = "sk-of-the-vendor-0123456789";
const MAX_TOKENS = 1000;
/** A dollar buys a million tokens of input, or half a million of output. */
const PRICE = { input: "1", output: "2" };

/** A gateway, and a model API behind it that always takes all the tokens that it may. */
export interface Models extends AsyncDisposable {
  readonly provisioner: CredentialProvisioner;
  readonly upstream: WebServer;
  /** The keys that the API was shown. */
  readonly keys: ReadonlySet<string | undefined>;
}

export async function startModels(): Promise<Models> {
  const keys = new Set<string | undefined>();
  const upstream = await startWebServer(({ headers }, response) => {
    keys.add(headers.authorization);
    const usage = { prompt_tokens: 10, completion_tokens: MAX_TOKENS, total_tokens: MAX_TOKENS + 10 };
    const choices = [{ index: 0, finish_reason: "length", message: { role: "assistant", content: "Hello" } }];
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ id: "1", object: "chat.completion", created: 1, model: "small", choices, usage }));
  });
  const models = ["tier-fast/small", "tier-best/large"];
  const gateway = new ModelGateway({
    upstreams: [{ api: "openai", baseUrl: `${upstream.origin}/v1`, apiKey: VENDOR_KEY, models }],
    prices: { "tier-fast/*": PRICE, "tier-best/*": PRICE },
  });
  await gateway.listen();
  return {
    provisioner: gateway.provisioner,
    upstream,
    keys,
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

/** What came of a request with `key`: `allowed`, or the code of the refusal. The global `fetch` knows of no lease. */
async function ask(endpoint: string, key: string, model: string): Promise<string> {
  const response = await fetch(`${endpoint}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, max_tokens: MAX_TOKENS, messages: [{ role: "user", content: "Hello" }] }),
  });
  const { error } = (await response.json()) as { readonly error?: { readonly code: string } };
  return error?.code ?? "allowed";
}

export async function boundModels(stage: Stage, { upstream, keys }: Models, proof: Proof): Promise<void> {
  let stolen = { endpoint: "", key: "" };

  /** Reports nothing, and keeps its key for later. */
  async function chatter(_input: unknown, { credentials }: JobContext): Promise<string[]> {
    const [credential] = credentials;
    if (credential === undefined) return [];
    stolen = { endpoint: credential.endpoint, key: credential.reveal() };
    const outcomes: string[] = [];
    for (const model of ["tier-fast/small", "tier-best/large", "tier-fast/small", "tier-fast/small"]) {
      outcomes.push(await ask(stolen.endpoint, stolen.key, model));
    }
    return outcomes;
  }

  stage.server.registerAgent("chatter", chatter);
  const lease = { "model.use": ["tier-fast/*"], "cost.budget": ["USD:0.005"] };
  proof.title("Models. The lease: model.use tier-fast/*, cost.budget USD:0.005; each answer costs USD 0.00201");
  const job = await stage.run({ agent: "chatter", leaseRequest: lease });
  const outcomes = Array.isArray(job.result) ? job.result.map(String) : [];
  const expected = ["allowed", "model_not_permitted", "allowed", "BUDGET_EXHAUSTED"];
  const what = ["asks tier-fast/small", "asks tier-best/large", "asks tier-fast/small", "asks it once more"];
  for (const [index, code] of expected.entries()) proof.code(what[index] ?? "", outcomes[index] ?? job.end, code);
  proof.code("the job", job.end, "success");
  proof.code(
    "uses the key after the job",
    await ask(stolen.endpoint, stolen.key, "tier-fast/small"),
    "invalid_api_key",
  );
  proof.fact("the model API was asked twice", upstream.count === 2, `${upstream.count} requests`);
  proof.fact("it was shown the vendor's key, and never the job's", [...keys].join() === `Bearer ${VENDOR_KEY}`);
  const spent = job.spent("USD");
  proof.fact("the gateway counted what the agent did not report", spent === 4_020_000n, `USD ${Number(spent) / 1e9}`);
}
