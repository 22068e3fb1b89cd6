/** What no WebSocket client may send, for every listener and every host. */
import { envelope } from "./malformed-frames.ts";
import { BINARY, fragments, PING, upgradeRequest, webSocketFrame } from "./raw-socket.ts";

export const MIB = 1024 * 1024;

export const ping = (size = 125): Buffer => webSocketFrame("p".repeat(size), { opcode: PING });

/** Bytes that no client may send, with the code of the close that follows. */
export const VIOLATIONS: readonly (readonly [name: string, bytes: Buffer, code: number])[] = [
  ["a text frame of 1,048,577 bytes", webSocketFrame("x".repeat(MIB + 1)), 1009],
  ["a million pairs of brackets", webSocketFrame("[".repeat(1_000_000) + "]".repeat(1_000_000)), 1009],
  [
    "200,000 members",
    webSocketFrame(`{${Array.from({ length: 200_000 }, (_, n) => `"member ${n}":0`).join(",")}}`),
    1009,
  ],
  ["an announced length of 100 MiB", webSocketFrame("x", { announcedBytes: 100 * MIB }), 1009],
  ["an announced length beyond 2^53", webSocketFrame("x", { announcedBytes: 2 ** 53 }), 1009],
  ["65 fragments, unfinished", fragments("x".repeat(65), 65, false), 1008],
  ["131,070 fragments", fragments("", 131_070, true), 1008],
  ["a frame that is not masked", webSocketFrame(envelope("session.ping", {}), { isMasked: false }), 1002],
  ["RSV1", webSocketFrame(envelope("session.ping", {}), { reserved: 0x40 }), 1002],
  ["RSV2", webSocketFrame(envelope("session.ping", {}), { reserved: 0x20 }), 1002],
  ["RSV3", webSocketFrame(envelope("session.ping", {}), { reserved: 0x10 }), 1002],
  ["an unknown opcode", webSocketFrame("x", { opcode: 0x3 }), 1002],
  ["an unknown control opcode", webSocketFrame("x", { opcode: 0xb }), 1002],
  ["a ping of 126 bytes", ping(126), 1002],
  ["a fragmented ping", webSocketFrame("x", { opcode: PING, isFinal: false }), 1002],
  ["a continuation of nothing", webSocketFrame("x", { opcode: 0x0 }), 1002],
  ["text that is not UTF-8", webSocketFrame(Buffer.from([0xc0, 0xae, 0xc0, 0xae, 0x2f])), 1007],
  ["an encoded surrogate", webSocketFrame(Buffer.from([0xed, 0xa0, 0x80])), 1007],
  ["a binary frame", webSocketFrame(envelope("session.ping", {}), { opcode: BINARY }), 1003],
];

const spaces = (count: number) => [["Sec-WebSocket-Protocol", `a${" ".repeat(count)}b`]] as const;
const many = (count: number) => Array.from({ length: count }, (_, n) => [`X-${n}`, "a"] as const);

/** Upgrade requests that are refused, with the status. */
export const REFUSED_UPGRADES: readonly (readonly [name: string, request: (url: string) => string, status: number])[] =
  [
    ["2,500 headers", (url) => upgradeRequest(url, { headers: many(2_500) }), 431],
    ["a header of 20 KiB", (url) => upgradeRequest(url, { headers: [["X-Big", "a".repeat(20 * 1024)]] }), 431],
    ["50,000 spaces in the subprotocol", (url) => upgradeRequest(url, { headers: spaces(50_000) }), 431],
    ["10,000 spaces in the subprotocol", (url) => upgradeRequest(url, { headers: spaces(10_000) }), 400],
    ["a foreign Host", (url) => upgradeRequest(url, { headers: [["Host", "evil.test"]] }), 421],
    ["a Host that begins like ours", (url) => upgradeRequest(url, { headers: [["Host", "localhost.evil.test"]] }), 421],
    [
      "two Hosts",
      (url) =>
        upgradeRequest(url, {
          headers: [
            ["Host", "localhost"],
            ["Host", "evil.test"],
          ],
        }),
      400,
    ],
    ["a foreign Origin", (url) => upgradeRequest(url, { headers: [["Origin", "https://evil.test"]] }), 403],
    ["the Origin null", (url) => upgradeRequest(url, { headers: [["Origin", "null"]] }), 403],
    ["an Origin of another port", (url) => upgradeRequest(url, { headers: [["Origin", "http://127.0.0.1:1"]] }), 403],
    ["another path", (url) => upgradeRequest(url, { path: "/" }), 404],
    ["a path below ours", (url) => upgradeRequest(url, { path: "/arcp/../arcp" }), 404],
    ["a path in another spelling", (url) => upgradeRequest(url, { path: "/%61rcp" }), 404],
    ["a short key", (url) => upgradeRequest(url, { headers: [["Sec-WebSocket-Key", "abc"]] }), 400],
    ["an old version", (url) => upgradeRequest(url, { headers: [["Sec-WebSocket-Version", "7"]] }), 400],
    [
      "two kinds of length",
      (url) =>
        upgradeRequest(url, {
          headers: [
            ["Transfer-Encoding", "chunked"],
            ["Content-Length", "5"],
          ],
        }),
      400,
    ],
    ["a folded header", (url) => upgradeRequest(url, { headers: [["X-Folded", "a\r\n b"]] }), 400],
    ["bare line feeds", (url) => upgradeRequest(url).replaceAll("\r\n", "\n"), 400],
    ["no HTTP at all", () => "\u0016\u0003\u0001\r\n\r\n", 400],
    [
      "a POST",
      (url) =>
        upgradeRequest(url)
          .replace("GET", "POST")
          .replace("Upgrade: websocket\r\n", "Content-Type: text/plain\r\nContent-Length: 0\r\n"),
      426,
    ],
    ["no Host", (url) => upgradeRequest(url).replace(/^Host: .*\r\n/m, ""), 400],
    ["HTTP/1.0", (url) => upgradeRequest(url).replace("HTTP/1.1", "HTTP/1.0"), 400],
    ["cookies and no Origin", (url) => upgradeRequest(url, { headers: [["Cookie", "session=1"]] }), 403],
    ["a body", (url) => `${upgradeRequest(url, { headers: [["Content-Length", "5"]] })}hello`, 400],
    [
      "a body in chunks",
      (url) => `${upgradeRequest(url, { headers: [["Transfer-Encoding", "chunked"]] })}0\r\n\r\n`,
      400,
    ],
    [
      "two Authorizations",
      (url) =>
        upgradeRequest(url, {
          headers: [
            ["Authorization", "Bearer alice"],
            ["Authorization", "Bearer bob"],
          ],
        }),
      400,
    ],
  ];
