/** Threats H06, H08 and H09: files that a command writes and reads, and whom a client shows its token. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCPClient } from "@arcp/client";
import { HttpTransport, silentLogger, WebSocketTransport } from "@arcp/core";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { UsageError } from "../../packages/sdk/src/cli/exit-code.ts";
import { ResultFile } from "../../packages/sdk/src/cli/result-file.ts";
import { requirePrivate } from "../../packages/sdk/src/cli/tokens.ts";
import { createCertificate } from "../operations/certificate.ts";
import { CLEAR_URLS, OPEN_MODES } from "./command-line-refusals.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "arcp-hostile-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true, force: true });
});
const inside = (name: string): string => join(directory, name);
const isPosix = process.platform !== "win32";

describe.runIf(isPosix)("a file that a result is saved to", () => {
  test("takes the place of a link, and leaves alone what it leads to", async () => {
    writeFileSync(inside("other"), "as it was");
    symlinkSync(inside("other"), inside("out"));
    const file = await ResultFile.open(inside("out"));
    await file.commit({ result: "new" });
    expect([readFileSync(inside("out"), "utf8"), readFileSync(inside("other"), "utf8")]).toEqual(["new", "as it was"]);
  });

  test("follows no link that was laid where it is written first, nor writes over a file there", async () => {
    const part = inside(`out.${process.pid}.part`);
    symlinkSync(inside("target"), part);
    await expect(ResultFile.open(inside("out"))).rejects.toThrow(UsageError);
    rmSync(part);
    writeFileSync(part, "of another");
    await expect(ResultFile.open(inside("out"))).rejects.toThrow(UsageError);
    expect([existsSync(inside("target")), readFileSync(part, "utf8")]).toEqual([false, "of another"]);
  });

  test("is no directory, and nothing is left of a result that was not completed", async () => {
    mkdirSync(inside("out"));
    await expect(ResultFile.open(inside("out"))).rejects.toThrow("not a plain file");
    const file = await ResultFile.open(inside("result"));
    await file.discard();
    expect(readdirSync(directory)).toEqual(["out"]);
  });
});

describe.runIf(isPosix)("a file with a secret", () => {
  test.each(OPEN_MODES)("of mode %s is refused", async (mode) => {
    writeFileSync(inside("token"), "secret");
    chmodSync(inside("token"), Number.parseInt(mode, 8));
    await expect(requirePrivate(inside("token"))).rejects.toThrow("others can read it; chmod 600 it");
    // A link to it is as open as it is.
    symlinkSync(inside("token"), inside("link"));
    await expect(requirePrivate(inside("link"))).rejects.toThrow(UsageError);
    chmodSync(inside("token"), 0o600);
    await requirePrivate(inside("link"));
  });

  test("of another user is refused", async () => {
    writeFileSync(inside("token"), "secret", { mode: 0o600 });
    const uid = process.getuid?.() ?? 0;
    // What is root's is nobody else's to write; as root, give it away.
    if (uid === 0) chownSync(inside("token"), 12_345, 12_345);
    else vi.spyOn(process, "getuid").mockReturnValue(uid + 1);
    await expect(requirePrivate(inside("token"))).rejects.toThrow("it belongs to another user");
  });
});

/** Keeps what it is told before it answers. */
async function listening(answer: RequestListener, tls?: { readonly key: string; readonly cert: string }) {
  const heard: string[] = [];
  const listener: RequestListener = (request, response) => {
    heard.push(JSON.stringify(request.headers));
    request.on("data", (piece) => heard.push(String(piece)));
    answer(request, response);
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.on("upgrade", (request, socket) => {
    heard.push(JSON.stringify(request.headers));
    socket.end(`HTTP/1.1 302 Found\r\nLocation: ${request.url?.slice(2) ?? ""}\r\nContent-Length: 0\r\n\r\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close().closeAllConnections());
  return { port: (server.address() as AddressInfo).port, heard };
}

/** The first frame makes the connection. */
const overHttp = async (url: string): Promise<unknown> =>
  new ARCPClient({ token: "s3cret", logger: silentLogger }).connect(await HttpTransport.connect(url));

describe("a token is shown to nobody", () => {
  test.each(CLEAR_URLS)("in the clear at %s", async (url) => {
    expect(() => WebSocketTransport.connect(url)).toThrow();
    await expect(ARCPClient.connect(url, { token: "s3cret", logger: silentLogger })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    await expect(async () => HttpTransport.connect(url.replace(/^ws/, "http"))).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
  });

  test.each(["ws", "http"])("that an answer leads to, from %s", async (scheme) => {
    const other = await listening((_request, response) => response.end());
    const target = `http://127.0.0.1:${other.port}/arcp`;
    const first = await listening((_request, response) => response.writeHead(307, { location: target }).end());
    const path = scheme === "ws" ? `/?${target}` : "/arcp/http";
    const url = `${scheme}://127.0.0.1:${first.port}${path}`;
    const connecting =
      scheme === "ws" ? ARCPClient.connect(url, { token: "s3cret", logger: silentLogger }) : overHttp(url);
    await expect(connecting).rejects.toThrow();
    expect(first.heard.length).toBeGreaterThan(0);
    expect(other.heard).toEqual([]);
  });

  test("whose certificate nobody vouches for, or is somebody else's", async () => {
    const { cert, key } = createCertificate("elsewhere.example");
    const { port, heard } = await listening((_request, response) => response.end(), { cert, key });
    for (const tls of [{}, { ca: cert }]) {
      await expect(
        WebSocketTransport.connect(`wss://127.0.0.1:${port}/arcp`, { tls }).then((transport) =>
          new ARCPClient({ token: "s3cret", logger: silentLogger }).connect(transport),
        ),
      ).rejects.toThrow();
    }
    await expect(overHttp(`https://127.0.0.1:${port}/arcp/http`)).rejects.toThrow();
    expect(heard).toEqual([]);
  });
});
