/**
 * Two runtimes in two processes: a newsroom, and the archive, where the tool is. Either the newsroom's courier hands work over to
 * the archive, as to any other runtime; or both are nodes over one database, and what the newsroom delegates to the researcher
 * runs where that is.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ARCPClient } from "@arcp/sdk";
import { RuntimeProcess } from "./runtime-process.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export const SECRETS = { client: "the-clients-token", peer: "the-newsrooms-token" };

const LOOK_MS = 100;

export interface NewsroomOptions {
  readonly collectorUrl: string;
  /** Of pages that may connect. */
  readonly allowedOrigins?: readonly string[];
  /** Of a PostgreSQL: makes them nodes. Without it each has a database of its own. */
  readonly database?: string | undefined;
}

/** Resolves when the newsroom has heard of the other node, and what agents that has. */
async function knowsResearcher(url: string): Promise<void> {
  for (;;) {
    await using client = await ARCPClient.connect(url, { token: SECRETS.client });
    if (client.session?.agents.some(({ name }) => name === "researcher")) return;
    await sleep(LOOK_MS);
  }
}

/** Starts both, gives `act` the newsroom, and stops both: then everything has been told to the collector. */
export async function inNewsroom<Result>(
  { collectorUrl, allowedOrigins = [], database = ":memory:" }: NewsroomOptions,
  act: (newsroom: RuntimeProcess["ready"]) => Promise<Result>,
): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), "arcp-observability-"));
  const config = async (name: string, settings: object): Promise<string> => {
    const file = join(directory, `${name}.json`);
    await writeFile(file, JSON.stringify({ port: 0, db: database, logLevel: "warn", ...settings }), { mode: 0o600 });
    return file;
  };
  try {
    await using archive = await RuntimeProcess.start({
      ...{ service: "archive", collectorUrl },
      config: await config("archive", {
        ...{ agents: { researcher: here("researcher.ts") }, tools: { search: here("search.ts") } },
        tokens: { [SECRETS.peer]: "newsroom" },
      }),
    });
    const { url, fingerprint } = archive.ready;
    await using newsroom = await RuntimeProcess.start({
      ...{ service: "newsroom", collectorUrl, env: { PEER_TOKEN: SECRETS.peer } },
      config: await config("newsroom", {
        ...{ agents: { editor: here("editor.ts"), courier: here("courier.ts") }, allowedOrigins },
        tokens: { [SECRETS.client]: "reader" },
        peers: { archive: { url, fingerprint, token: { env: "PEER_TOKEN" } } },
      }),
    });
    if (database !== ":memory:") await knowsResearcher(newsroom.ready.url);
    return await act(newsroom.ready);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
