import { test } from "vitest";
import { adapterContract } from "./contract.ts";
import { hosts } from "./hosts.ts";

if (hosts.bun === undefined) test.skip("there is no Bun for this machine");
else {
  adapterContract(hosts.bun, {
    refusals: {
      ...{ "HTTP/1.0": 101, "a path below ours": 101, "an old version": 426, "bare line feeds": 505 },
    },
    // Bun puts fragments together by itself, up to the size of a frame.
    bears: ["65 fragments, unfinished", "131,070 fragments"],
    statusWhenClosed: 503,
  });
}
