/** Two runtimes in two processes: a newsroom, and the archive to which its jobs hand work over. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RuntimeProcess } from "./runtime-process.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export const SECRETS = { client: "the-clients-token", peer: "the-newsrooms-token" };

export interface NewsroomOptions {
  readonly collectorUrl: string;
  /** Of pages that may connect. */
  readonly allowedOrigins?: readonly string[];
}

/** Starts both, gives `act` the newsroom, and stops both: then everything has been told to the collector. */
export async function inNewsroom<Result>(
  { collectorUrl, allowedOrigins = [] }: NewsroomOptions,
  act: (newsroom: RuntimeProcess["ready"]) => Promise<Result>,
): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), "arcp-observability-"));
  const config = async (name: string, settings: object): Promise<string> => {
    const file = join(directory, `${name}.json`);
    await writeFile(file, JSON.stringify({ port: 0, db: ":memory:", logLevel: "warn", ...settings }), { mode: 0o600 });
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
    return await act(newsroom.ready);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
