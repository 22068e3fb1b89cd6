/** Three nodes over one database. */
import { type LogRecord, NodeProcess } from "./node-process.ts";

export interface ThreeNodesOptions {
  readonly database: string;
  readonly token: string;
  readonly directory: string;
  /** Of the first; the others take those after it. Default: any free ones. */
  readonly port?: number;
  readonly onLog: (node: string, record: LogRecord) => void;
  readonly onBack: (node: string) => void;
}

/** Nodes `a`, `b` and `c`, in that order. What has been started is `stack`'s, also when this rejects. */
export async function startThreeNodes(
  stack: AsyncDisposableStack,
  { port, onLog, onBack, ...options }: ThreeNodesOptions,
): Promise<ReadonlyMap<string, NodeProcess>> {
  const nodes = new Map<string, NodeProcess>();
  for (const [index, name] of ["a", "b", "c"].entries()) {
    const node = await NodeProcess.start({
      ...{ ...options, name },
      ...(port === undefined ? {} : { port: port + index }),
      onLog: (record) => onLog(name, record),
      onBack: () => onBack(name),
    });
    nodes.set(name, stack.use(node));
  }
  return nodes;
}
