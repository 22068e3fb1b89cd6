import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../packages/sdk/src/cli/exit-code.ts";
import { proxyRules } from "../../packages/sdk/src/cli/tls-proxy.ts";
import { RawSocket } from "../hostile/raw-socket.ts";
import { Workspace } from "./arcp.ts";

type Request = Parameters<NonNullable<ReturnType<typeof proxyRules>["remoteAddressOf"]>>[0];

/** A request that came from `remoteAddress`. */
const requestFrom = (remoteAddress: string | undefined, headers: Request["headers"]): Request => ({
  headers,
  socket: { remoteAddress } as Request["socket"],
});

describe("a proxy in front of the runtime", () => {
  it("tells clients' addresses, over WebSocket and over HTTP", async () => {
    const config = `export default {
      tlsProxy: {},
      allowedHosts: ["agents.example.com"],
      agents: { echo: (input) => input },
    };`;
    await using workspace = await Workspace.create({ "arcp.config.mjs": config });
    const { url, port, command } = await workspace.serve([], { ARCP_TOKEN: "s3cret" });
    const past = await workspace.run(["jobs"], { env: { ARCP_URL: url, ARCP_TOKEN: "s3cret" } });
    expect(past.stderr).toContain("421 (the runtime has another name: its `allowedHosts`)");
    using socket = await RawSocket.open(url, {
      headers: [
        ["Host", "agents.example.com"],
        ["X-Real-IP", "203.0.113.9"],
      ],
    });
    await socket.hello("s3cret");
    const headers = { host: "agents.example.com", authorization: "Bearer s3cret", "x-real-ip": "203.0.113.10" };
    const asked = get({ host: "127.0.0.1", port, path: "/v1/jobs", headers });
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(200);
    await command.kill("SIGTERM");
    const { lines } = await workspace.run(["audit", "--action", "session.opened", "--json"]);
    expect(lines.map((row) => row["remote_address"])).toEqual(["203.0.113.9", "203.0.113.10"]);
  });

  it("is asked only where it is", () => {
    const { remoteAddressOf = () => "none" } = proxyRules({
      from: ["10.0.0.0/8", "fd00::1"],
      addressHeader: "X-Forwarded-For",
    });
    const headers = { "x-forwarded-for": "198.51.100.1, 203.0.113.9" };
    expect(remoteAddressOf(requestFrom("10.1.2.3", headers))).toBe("203.0.113.9");
    expect(remoteAddressOf(requestFrom("::ffff:10.1.2.3", headers))).toBe("203.0.113.9");
    expect(remoteAddressOf(requestFrom("fd00::1", headers))).toBe("203.0.113.9");
    expect(remoteAddressOf(requestFrom("fd00::2", headers))).toBeUndefined();
    expect(remoteAddressOf(requestFrom("203.0.113.1", headers))).toBeUndefined();
    expect(remoteAddressOf(requestFrom(undefined, headers))).toBeUndefined();
    expect(remoteAddressOf(requestFrom("10.1.2.3", {}))).toBeUndefined();
    expect(remoteAddressOf(requestFrom("10.1.2.3", { "x-forwarded-for": "somebody" }))).toBeUndefined();
  });

  it("is behind what comes from it, and nothing else", () => {
    const { isBehindTlsProxy = () => false } = proxyRules({ from: ["10.0.0.0/8"] });
    expect(["10.1.2.3", "::ffff:10.1.2.3"].map(isBehindTlsProxy)).toEqual([true, true]);
    expect(["203.0.113.1", "127.0.0.1", undefined].map(isBehindTlsProxy)).toEqual([false, false, false]);
  });

  it.each(["proxy.example", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/x", ""])("is not at %j", (from) => {
    expect(() => proxyRules({ from: [from] })).toThrow(UsageError);
  });

  it("is nowhere, if nobody says so", () => {
    expect(proxyRules(undefined)).toEqual({});
  });
});
