/** Lines of a stream of bytes: U+2028 and its like, at which others end lines too, are part of them. */
import type { Readable } from "node:stream";

const NEWLINE = 0x0a;

/** Calls `onLine` for every line that a stream brings, without its end. */
export function readLines(input: Readable, onLine: (line: string) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  input.on("data", (data: Buffer) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
    let start = 0;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE, start)) {
      onLine(rest.subarray(start, end).toString("utf8"));
      start = end + 1;
    }
    rest = rest.subarray(start);
  });
}
