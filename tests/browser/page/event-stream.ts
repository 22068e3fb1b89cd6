/** HTTP with Server-Sent Events by `fetch` alone, without a client: what any page can write. */

export interface RawFollowing {
  /** The ids that the first stream had when it was left, and those of the second. */
  readonly ids: readonly [readonly string[], readonly string[]];
  /** The types of the last messages of each. */
  readonly last: readonly [string, string];
}

interface Received {
  readonly id: string;
  readonly type: string;
}

/** Submits a job, leaves its stream after `leaveAt` numbered events, and takes it up again with `Last-Event-ID`. */
export async function followByFetch(url: string, token: string, agent: string, leaveAt: number): Promise<RawFollowing> {
  const authorization = `Bearer ${token}`;
  const post = async (to: string, type: string, payload: object): Promise<Response> => {
    const headers = { authorization, "content-type": "application/json" };
    const body = JSON.stringify({ arcp: "1.1", id: `msg_${type}`, type, payload });
    const response = await fetch(to, { method: "POST", headers, body });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return response;
  };
  const hello = { client: { name: "fetch", version: "1" }, capabilities: { encodings: ["json"], features: [] } };
  const opened = await post(url, "session.hello", hello);
  const connection = new URL(opened.headers.get("location") ?? "", url).href;
  await post(connection, "job.submit", { agent, input: null });
  const read = async (after: string, isEnough: (received: readonly Received[]) => boolean): Promise<Received[]> => {
    const stop = new AbortController();
    const headers = { authorization, accept: "text/event-stream", "last-event-id": after };
    const response = await fetch(`${connection}/events`, { headers, signal: stop.signal });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    const received: Received[] = [];
    for await (const event of eventsOf(response)) {
      if (event.id !== "") received.push(event);
      if (isEnough(received)) break;
    }
    stop.abort();
    return received;
  };
  const before = await read("0", ({ length }) => length === leaveAt);
  const after = await read(before.at(-1)?.id ?? "", (received) => received.at(-1)?.type === "job.result");
  await fetch(connection, { method: "DELETE", headers: { authorization } });
  return {
    ids: [before.map(({ id }) => id), after.map(({ id }) => id)],
    last: [before.at(-1)?.type ?? "", after.at(-1)?.type ?? ""],
  };
}

async function* eventsOf(response: Response): AsyncGenerator<Received> {
  let rest = "";
  const text = response.body?.pipeThrough(new TextDecoderStream());
  for await (const piece of text ?? []) {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data === undefined) continue;
      const { type } = JSON.parse(data) as { readonly type: string };
      yield { id: /^id: (.*)$/m.exec(block)?.[1] ?? "", type };
    }
  }
}
