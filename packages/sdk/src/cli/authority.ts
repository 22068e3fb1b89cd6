/** What a configuration gives to jobs beside their agents: tools, and credentials of upstreams. */
import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import type { Logger } from "@arcp/core";
import { type CredentialProvisioner, litellmProvisioner, type Store, type Tool } from "@arcp/runtime";
import type { LiteLLMSettings } from "../config.ts";
import type { LoadedConfig } from "./config-file.ts";
import { UsageError } from "./exit-code.ts";
import { mountGateway } from "./gateway-settings.ts";
import { importModule } from "./module.ts";
import { readSecret } from "./secrets.ts";
import type { Shutdown } from "./shutdown.ts";

/** The tools of the configuration, by name. */
export async function loadTools({ config, directory }: LoadedConfig): Promise<readonly (readonly [string, Tool])[]> {
  const tools: (readonly [string, Tool])[] = [];
  for (const [name, source] of Object.entries(config.tools ?? {})) {
    // What its input is, is checked by its schema when it is called.
    const tool = typeof source === "string" ? await importTool(name, source, directory) : (source as Tool);
    if (typeof tool?.handler !== "function") throw new UsageError(`tool ${name}: it has no handler`);
    tools.push([name, tool]);
  }
  return tools;
}

async function importTool(name: string, source: string, directory: string): Promise<Tool | undefined> {
  const file = resolve(directory, source);
  if (!existsSync(file)) throw new UsageError(`tool ${name}: there is no file ${relative(process.cwd(), file)}`);
  return (await importModule(file)).default as Tool | undefined;
}

export interface Provisioning {
  readonly provisioners: readonly CredentialProvisioner[];
  /** Where the gateway listens, if there is one. */
  readonly gatewayUrl: string | undefined;
}

/**
 * Everybody who issues credentials for jobs; the gateway among them listens already. Throws {@link UsageError} where the
 * store could not guarantee that what is issued is revoked.
 */
export async function openProvisioning(
  { config, directory }: LoadedConfig,
  store: Store,
  shutdown: Shutdown,
  logger: Logger,
): Promise<Provisioning> {
  const provisioners = [...(config.credentialProvisioners ?? [])];
  if (config.litellm !== undefined) provisioners.push(await litellm(config.litellm, directory));
  const isWanted = provisioners.length > 0 || config.gateway !== undefined;
  if (isWanted && !store.isDurable) {
    throw new UsageError(
      "credentials need a database that survives a power cut, so that they are sure to be revoked: a file, and --sync full",
    );
  }
  if (config.gateway === undefined) return { provisioners, gatewayUrl: undefined };
  const { gateway, url } = await mountGateway(config.gateway, directory, shutdown, logger);
  return { provisioners: [...provisioners, gateway.provisioner], gatewayUrl: url };
}

async function litellm({ masterKey, ...options }: LiteLLMSettings, directory: string): Promise<CredentialProvisioner> {
  const key = await readSecret(masterKey, "litellm: the master key", directory);
  try {
    return litellmProvisioner({ ...options, masterKey: key });
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`litellm: ${error.message}`);
    throw error;
  }
}
