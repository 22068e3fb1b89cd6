/** What `ctx.fs` and `ctx.fetch` are made of. */
import type { OperationsFactory } from "../engine/agent-operations.ts";
import { type AgentFileSystemOptions, agentFileSystem } from "./files/agent-file-system.ts";
import { type AgentNetwork, agentFetch, type NetworkOptions } from "./network/fetch.ts";

/** Bounds of files and network. */
export interface OperationsOptions {
  readonly files?: AgentFileSystemOptions;
  readonly network?: NetworkOptions;
}

/** Makes the operations of each job. The directories that its lease names are pinned then; connections come later. */
export function agentOperations({ files, network }: OperationsOptions = {}): OperationsFactory {
  return (guard, log) => {
    const fs = agentFileSystem(guard, { log, ...files });
    let connected: AgentNetwork | undefined;
    return {
      fs,
      fetch: async (url, init) => {
        connected ??= agentFetch(guard, network);
        return connected.fetch(url, init);
      },
      admit: (grant) => fs.admit(grant),
      close() {
        fs.close();
        connected?.close();
      },
    };
  };
}
