/** A small picture, made of nothing but numbers: bars, as a PNG. */
import { crc32, deflateSync } from "node:zlib";

const HEIGHT = 60;
const BAR = 12;
const [INK, PAPER] = [0x50, 0xf4] as const;

/** Bars of `values` between 0 and 1, side by side, in shades of grey. */
export function barsPng(values: readonly number[]): Uint8Array {
  const width = values.length * BAR;
  const rows = Buffer.alloc((width + 1) * HEIGHT, PAPER);
  for (let y = 0; y < HEIGHT; y += 1) {
    const row = y * (width + 1);
    rows[row] = 0;
    values.forEach((value, index) => {
      const isInk = HEIGHT - y <= value * HEIGHT;
      if (isInk) rows.fill(INK, row + 1 + index * BAR + 2, row + 1 + (index + 1) * BAR);
    });
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header[8] = 8;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
