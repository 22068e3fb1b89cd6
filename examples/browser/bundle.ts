/** Pages as their users' bundler makes them: Vite with its defaults, from the packages as they are published. */
import { build, type Rolldown } from "vite";

/** Contents by paths, such as `/index.html`. */
export type Files = ReadonlyMap<string, string | Uint8Array>;

/** What Vite makes of the application in `root`, with workers as modules. */
export async function bundle(root: string): Promise<Files> {
  const output = (await build({
    configFile: false,
    root,
    logLevel: "warn",
    worker: { format: "es" },
    build: { write: false, target: "es2024" },
  })) as Rolldown.RolldownOutput;
  return new Map(
    output.output.map((file) => [`/${file.fileName}`, file.type === "chunk" ? file.code : file.source] as const),
  );
}
