/** The runtimes of the configuration that jobs may be handed over to. */
import type { HandoffConnector } from "@arcp/runtime";
import type { PeerSettings } from "../config.ts";
import { type HandoffPeer, handoffPeers } from "../handoff.ts";
import type { LoadedConfig } from "./config-file.ts";
import { UsageError } from "./exit-code.ts";
import { readSecret } from "./secrets.ts";

/** Every member that the settings may have. */
const MEMBERS: Readonly<Record<keyof PeerSettings, true>> = {
  url: true,
  token: true,
  fingerprint: true,
  allowInsecure: true,
};

/** `undefined` if there are none. Throws {@link UsageError} for what cannot be right. */
export async function openPeers(
  { config, directory }: LoadedConfig,
  client: { readonly name: string; readonly version: string },
): Promise<HandoffConnector | undefined> {
  if (config.peers === undefined) return undefined;
  const peers: Record<string, HandoffPeer> = {};
  for (const [name, settings] of Object.entries(config.peers)) {
    const unknown = Object.keys(settings).find((member) => !Object.hasOwn(MEMBERS, member));
    if (unknown !== undefined) {
      throw new UsageError(
        `peer ${name}: there is no setting "${unknown}"; there are ${Object.keys(MEMBERS).join(", ")}`,
      );
    }
    if (!/^(wss?|unix):/i.test(settings.url)) throw new UsageError(`peer ${name}: url is not one of a runtime`);
    if (!/^sha256:[0-9a-f]{64}$/.test(settings.fingerprint)) {
      throw new UsageError(`peer ${name}: fingerprint is sha256: and 64 digits, as its \`arcp serve\` prints it`);
    }
    peers[name] = { ...settings, token: await readSecret(settings.token, `peer ${name}: the token`, directory) };
  }
  return handoffPeers(peers, { client: { kind: client.name, version: client.version } });
}
