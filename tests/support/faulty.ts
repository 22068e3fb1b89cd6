/** A connection over any carrier that is cut at a frame boundary. */
import type { Transport } from "@arcp/core";

export interface CutPlan {
  /** Cut when so many frames have been received. */
  readonly received?: number;
  /** Cut when so many frames have been sent. They may not arrive. */
  readonly sent?: number;
  readonly onCut?: () => void;
}

/** `transport`, which aborts as `plan` says. */
export function cutAt(transport: Transport, { received, sent, onCut }: CutPlan): Transport {
  let receivedFrames = 0;
  let sentFrames = 0;
  const cut = (): void => {
    if (!transport.isClosed) onCut?.();
    transport.abort("cut by the test");
  };
  const send = (frame: string): void => {
    transport.send(frame);
    sentFrames += 1;
    if (sentFrames === sent) cut();
  };
  const onFrame = (handler: (frame: string) => void): void =>
    transport.onFrame((frame) => {
      if (transport.isClosed) return;
      handler(frame);
      receivedFrames += 1;
      if (receivedFrames === received) cut();
    });
  return new Proxy(transport, {
    get(target, name) {
      if (name === "send") return send;
      if (name === "onFrame") return onFrame;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
