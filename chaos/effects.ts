/** The world that agents act on: an HTTP service that writes down what it was asked to do. */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Recorder } from "./history.ts";
import { CLOSED_TEXT, OPEN_TEXT } from "./world.ts";

/** `reset`: it is done, and the answer is lost. `refuse`: it is not done. */
export type EffectFault = "reset" | "refuse";

export class EffectService implements AsyncDisposable {
  readonly #server: Server;
  /** What happens to the next requests, one each. */
  readonly #faults: EffectFault[] = [];
  count = 0;

  private constructor(server: Server, recorder: Recorder) {
    this.#server = server;
    server.on("request", (request, response) => {
      if (request.method === "GET") {
        answerPage(recorder, request.url ?? "", response);
        return;
      }
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      request.on("end", () => {
        const fault = this.#faults.shift();
        if (fault === "refuse") {
          response.writeHead(503).end();
          return;
        }
        const asked = JSON.parse(body) as { readonly life: number; readonly job: string; readonly name: string };
        recorder.write({ kind: "effect", ...asked });
        this.count += 1;
        if (fault === "reset") request.socket.destroy();
        else response.writeHead(200).end("{}");
      });
    });
  }

  /** Of the pages under `/open`, which leases cover, and others. */
  get pagesUrl(): string {
    return new URL(this.url).origin;
  }

  static async start(recorder: Recorder): Promise<EffectService> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new EffectService(server, recorder);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/effect`;
  }

  fail(...faults: readonly EffectFault[]): void {
    this.#faults.push(...faults);
  }

  heal(): void {
    this.#faults.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function answerPage(recorder: Recorder, path: string, response: ServerResponse): void {
  if (path === "/open/redirect") response.writeHead(302, { location: "/closed/page" }).end();
  else if (path.startsWith("/open/")) response.writeHead(200).end(OPEN_TEXT);
  else {
    recorder.write({ kind: "canary", what: `GET ${path}` });
    response.writeHead(200).end(CLOSED_TEXT);
  }
}
