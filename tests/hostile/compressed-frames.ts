/** Frames as `permessage-deflate` makes them (RFC 7692), and what no client may send where it was agreed. */
import { constants, deflateRawSync } from "node:zlib";
import { envelope } from "./malformed-frames.ts";
import { DEFLATE_TRAILER, fragments, PING, webSocketFrame } from "./raw-socket.ts";

const MIB = 1024 * 1024;
const RSV1 = 0x40;
const CONTINUATION = 0x0;
/** The payload of a compressed frame. */
const deflated = (content: Uint8Array | string): Buffer =>
  deflateRawSync(content, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -DEFLATE_TRAILER.length);

export const compressedFrame = (content: Uint8Array | string): Buffer =>
  webSocketFrame(deflated(content), { reserved: RSV1 });

/** A mebibyte of spaces in a KiB, which does not refer to what came before it: so any number of them is one stream. */
const BLOCK = deflateRawSync(Buffer.alloc(MIB, " "), { finishFlush: constants.Z_FULL_FLUSH });
const bomb = (mebibytes: number): Buffer => Buffer.concat(Array.from({ length: mebibytes }, () => BLOCK));

const inFragments = (pieces: readonly Buffer[]): Buffer =>
  Buffer.concat(
    pieces.map((piece, index) =>
      webSocketFrame(piece, {
        isFinal: index === pieces.length - 1,
        ...(index === 0 ? { reserved: RSV1 } : { opcode: CONTINUATION }),
      }),
    ),
  );

/**
 * Bytes that no client may send on a connection on which compression was agreed, with the code of the close that follows.
 * Where it was not, each of them is 1002.
 */
export const COMPRESSED_VIOLATIONS: readonly (readonly [name: string, bytes: Buffer, code: number])[] = [
  ["2 KiB that inflate to 2 MiB", webSocketFrame(bomb(2), { reserved: RSV1 }), 1009],
  ["300 KiB that inflate to 300 MiB", webSocketFrame(bomb(300), { reserved: RSV1 }), 1009],
  ["the same in 60 fragments", inFragments(Array.from({ length: 60 }, () => bomb(5))), 1009],
  ["a compressed frame of 1,048,577 bytes", webSocketFrame(Buffer.alloc(MIB + 1), { reserved: RSV1 }), 1009],
  ["what does not inflate", webSocketFrame(Buffer.alloc(64, 0xff), { reserved: RSV1 }), 1007],
  ["text that inflates to what is not UTF-8", compressedFrame(Buffer.of(0xc0, 0xae, 0xc0, 0xae, 0x2f)), 1007],
  ["a compressed ping", webSocketFrame(deflated("p"), { opcode: PING, reserved: RSV1 }), 1002],
  [
    "a continuation that says it is compressed",
    Buffer.concat([
      fragments(envelope("session.ping", {}).slice(0, 1), 1, false),
      webSocketFrame(deflated("x"), { opcode: CONTINUATION, reserved: RSV1 }),
    ]),
    1002,
  ],
];
