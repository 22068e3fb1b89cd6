/** The network: an agent that may talk to one server, which sends it elsewhere. */
import type { JobContext } from "@arcp/sdk";
import type { Proof } from "./proof.ts";
import { needed, outcomeOf, type Stage } from "./stage.ts";
import { startWebServer } from "./web-server.ts";

const METADATA = "http://169.254.169.254/latest/meta-data";

/** Fetches everything that it is given, and goes on after each refusal. */
async function fetcher(input: unknown, { fetch }: JobContext): Promise<string[]> {
  const { urls } = input as { readonly urls: readonly string[] };
  const outcomes: string[] = [];
  for (const url of urls) outcomes.push(await outcomeOf(fetch(url).then((response) => response.text())));
  return outcomes;
}

export async function boundNetwork(stage: Stage, proof: Proof): Promise<void> {
  await using other = await startWebServer((_request, response) => response.end("a secret"));
  await using server = await startWebServer(({ url }, response) => {
    const location = url === "/to-metadata" ? METADATA : url === "/to-other" ? `${other.origin}/` : undefined;
    response.writeHead(location === undefined ? 200 : 302, location === undefined ? {} : { location });
    response.end("hello");
  });

  stage.server.registerAgent("fetcher", fetcher);
  // The second pattern covers a name that the runtime's resolver says is this machine (see `run.ts`).
  const lease = { "net.fetch": [`${server.origin}/**`, `http://*.example.com:${other.port}/**`] };
  proof.title(`Network. The lease: net.fetch ${lease["net.fetch"].join(", ")}`);
  const attempts = [
    { what: "fetches /hello", url: `${server.origin}/hello`, expected: "allowed" },
    { what: `is redirected to ${METADATA}`, url: `${server.origin}/to-metadata`, expected: "PERMISSION_DENIED" },
    { what: "is redirected to another local server", url: `${server.origin}/to-other`, expected: "PERMISSION_DENIED" },
    { what: "fetches the other server directly", url: other.origin, expected: "PERMISSION_DENIED" },
    {
      what: "fetches a granted name that leads to 127.0.0.1",
      url: `http://inside.example.com:${other.port}/`,
      expected: "PERMISSION_DENIED",
    },
    { what: "fetches /hello again: the job goes on", url: `${server.origin}/hello`, expected: "allowed" },
  ];
  const urls = attempts.map(({ url }) => url);
  const job = await stage.run({ agent: "fetcher", input: { urls }, leaseRequest: lease });
  const outcomes = Array.isArray(job.result) ? job.result.map(String) : [];
  const refusals = [...job.refusals];
  for (const [index, { what, expected }] of attempts.entries()) {
    const outcome = outcomes[index] ?? job.end;
    const reason = "covered by the lease, but the address is not public";
    proof.code(what, outcome, expected, outcome === "allowed" ? "" : needed("net.fetch", refusals.shift(), reason));
  }
  proof.code("the job, after all of that", job.end, "success");
  proof.fact("the granted server was asked four times", server.count === 4, `${server.count} requests`);
  proof.fact("the other server was never reached", other.count === 0, `${other.count} requests`);
}
