/** Carries a transport from one process to another over a Unix socket, with how it ends. */
import type { Transport, TransportClose } from "@arcp/core";

const FRAME = "F";
const CLOSE = "C";
const HIGH_WATER_BYTES = 256 * 1024;

/** Joins a transport with the line to the other process, until one of them ends. Returns what takes the line's frames. */
export function relay(transport: Transport, line: Transport): (text: string) => void {
  transport.onFrame((frame) => {
    line.send(`${FRAME}${frame}`);
    throttle(line, transport);
  });
  void transport.closed.then((close) => {
    line.send(`${CLOSE}${JSON.stringify(close)}`);
    line.close();
  });
  void line.closed.then(() => transport.abort("the relay is gone"));
  return (text) => {
    if (text.startsWith(FRAME)) {
      transport.send(text.slice(1));
      throttle(transport, line);
      return;
    }
    const { code, reason } = JSON.parse(text.slice(1)) as TransportClose;
    if (code === 1006) transport.abort(reason);
    else transport.close(code, reason);
  };
}

/** Who writes faster than is read waits. */
function throttle(to: Transport, from: Transport): void {
  if (to.bufferedBytes < HIGH_WATER_BYTES) return;
  from.pause();
  void to.drained().then(() => from.resume());
}
