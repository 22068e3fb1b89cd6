/** A model gateway from its settings: made, locked, listening, and taken down again. */
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Logger } from "@arcp/core";
import { ModelGateway, type UpstreamOptions } from "@arcp/gateway";
import { lockFile } from "@arcp/runtime";
import type { GatewaySettings } from "../config.ts";
import { UsageError } from "./exit-code.ts";
import { portInUse } from "./port-in-use.ts";
import { readSecret } from "./secrets.ts";
import type { Shutdown } from "./shutdown.ts";

/** Every member that the settings may have. */
const MEMBERS: Readonly<Record<keyof GatewaySettings, true>> = {
  upstreams: true,
  prices: true,
  admin: true,
  name: true,
  profile: true,
  publicUrl: true,
  keyPrefix: true,
  limits: true,
  timeouts: true,
  host: true,
  port: true,
  tls: true,
  allowInsecure: true,
};

export interface MountedGateway {
  readonly gateway: ModelGateway;
  /** Where it listens. */
  readonly url: string;
}

/** A gateway that listens. It is closed, and its key file let go, with `shutdown`. Paths are relative to `directory`. */
export async function mountGateway(
  settings: GatewaySettings,
  directory: string,
  shutdown: Shutdown,
  logger: Logger,
): Promise<MountedGateway> {
  checkMembers(settings);
  const { upstreams, admin, host = "127.0.0.1", port = 0, tls, allowInsecure = false, ...options } = settings;
  const withKeys: UpstreamOptions[] = [];
  for (const { apiKey, ...upstream } of upstreams) {
    const what = `gateway: the apiKey of ${upstream.baseUrl}`;
    withKeys.push({ ...upstream, apiKey: await readSecret(apiKey, what, directory) });
  }
  const masterKey = admin === undefined ? "" : await readSecret(admin.masterKey, "gateway: the master key", directory);
  const keyFile = admin?.keyFile === undefined ? undefined : resolve(directory, admin.keyFile);
  const pem = tls && {
    cert: await readFile(resolve(directory, tls.cert)),
    key: await readFile(resolve(directory, tls.key)),
  };
  if (keyFile !== undefined) {
    mkdirSync(dirname(keyFile), { recursive: true, mode: 0o700 });
    shutdown.defer(locked(keyFile));
  }
  const gateway = made({
    ...{ ...options, upstreams: withKeys, logger },
    ...(admin === undefined ? {} : { admin: { masterKey, ...(keyFile === undefined ? {} : { keyFile }) } }),
  });
  shutdown.defer(() => gateway.close());
  try {
    const { origin } = await gateway.listen({ host, port, allowInsecure, ...(pem === undefined ? {} : { tls: pem }) });
    return { gateway, url: origin };
  } catch (error) {
    throw portInUse(error, host, port, "gateway");
  }
}

/** A second gateway would forget the keys of the first. */
function locked(keyFile: string): () => void {
  try {
    return lockFile(keyFile);
  } catch (cause) {
    throw new Error(`${(cause as Error).message}; give this one a key file of its own`, { cause });
  }
}

function checkMembers(settings: GatewaySettings): void {
  const unknown = Object.keys(settings).find((member) => !Object.hasOwn(MEMBERS, member));
  if (unknown !== undefined) {
    throw new UsageError(`gateway: there is no setting "${unknown}"; there are ${Object.keys(MEMBERS).join(", ")}`);
  }
  if (!Array.isArray(settings.upstreams) || settings.upstreams.length === 0) {
    throw new UsageError("gateway: it has no upstreams");
  }
}

function made(options: ConstructorParameters<typeof ModelGateway>[0]): ModelGateway {
  try {
    return new ModelGateway(options);
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`gateway: ${error.message}`);
    throw error;
  }
}
