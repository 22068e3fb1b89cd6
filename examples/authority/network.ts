/** The network: an agent that may talk to one server, which sends it elsewhere. */
import { showAttempts } from "./attempts.ts";
import type { Proof } from "./proof.ts";
import type { Stage } from "./stage.ts";
import { startWebServer } from "./web-server.ts";

const METADATA = "http://169.254.169.254/latest/meta-data";

export async function boundNetwork(stage: Stage, proof: Proof): Promise<void> {
  await using other = await startWebServer((_request, response) => response.end("a secret"));
  await using server = await startWebServer(({ url }, response) => {
    const location = url === "/to-metadata" ? METADATA : url === "/to-other" ? `${other.origin}/` : undefined;
    response.writeHead(location === undefined ? 200 : 302, location === undefined ? {} : { location });
    response.end("hello");
  });

  // The second pattern covers a name that the runtime's resolver says is this machine (see `run.ts`).
  const lease = { "net.fetch": [`${server.origin}/**`, `http://*.example.com:${other.port}/**`] };
  proof.title(`Network. The lease: net.fetch ${lease["net.fetch"].join(", ")}`);
  const expected = "PERMISSION_DENIED";
  await showAttempts(stage, proof, {
    agent: "fetcher",
    capability: "net.fetch",
    lease,
    attempts: [
      { what: "fetches /hello", target: `${server.origin}/hello`, expected: "allowed" },
      { what: `is redirected to ${METADATA}`, target: `${server.origin}/to-metadata`, expected },
      { what: "is redirected to another local server", target: `${server.origin}/to-other`, expected },
      { what: "fetches the other server directly", target: other.origin, expected },
      {
        what: "fetches a granted name that leads to 127.0.0.1",
        target: `http://inside.example.com:${other.port}/`,
        expected,
      },
      { what: "fetches /hello again: the job goes on", target: `${server.origin}/hello`, expected: "allowed" },
    ],
    act: async ({ target }, { fetch }) => (await fetch(target)).text(),
    otherwise: "covered by the lease, but the address is not public",
  });
  proof.fact("the granted server was asked four times", server.count === 4, `${server.count} requests`);
  proof.fact("the other server was never reached", other.count === 0, `${other.count} requests`);
}
