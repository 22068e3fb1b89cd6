/** What `arcp serve` says when clients can connect. */
import { join } from "node:path";
import type { ServedAgent } from "./agent-modules.ts";
import type { Provisioning } from "./authority.ts";
import { escapeLine, toSafeJson } from "./escape.ts";
import { DEFAULT_URL } from "./runtime-address.ts";
import { Terminal } from "./terminal.ts";
import type { Token } from "./tokens.ts";

export interface Announcement {
  /** Where clients connect, the first of them by default. */
  readonly urls: readonly string[];
  readonly agents: readonly ServedAgent[];
  readonly tools: readonly string[];
  readonly provisioning: Provisioning;
  readonly fingerprint: string;
  readonly dashboardUrl: string | undefined;
  /** Where `/metrics` and its like are. */
  readonly healthUrl: string | undefined;
  readonly developer: Token | undefined;
  /** Is any token taken? */
  readonly isOpen: boolean;
  readonly isJson: boolean;
  readonly file: string | undefined;
  /** Where several runtimes share a database. */
  readonly node?: { readonly name: string; readonly database: string };
}

export function announce(facts: Announcement): void {
  const { urls, agents, tools, provisioning, fingerprint, healthUrl, developer, isOpen, isJson, file, node } = facts;
  const { dashboardUrl } = facts;
  const [url = ""] = urls;
  const names = agents.map(({ reference }) => reference);
  const provisioners = provisioning.provisioners.map(({ name }) => name);
  const gateway = provisioning.gatewayUrl;
  if (isJson) {
    const ready = { type: "ready", url, urls, pid: process.pid, agents: names, tools, provisioners, gateway };
    const named = {
      ...(node && { node: node.name }),
      ...(healthUrl && { healthUrl }),
      ...(dashboardUrl && { dashboardUrl }),
    };
    process.stdout.write(`${toSafeJson({ ...ready, fingerprint, ...named })}\n`);
    return;
  }
  const terminal = new Terminal(process.stdout);
  const lines = urls.map((each) => `${terminal.style("green", "●")} ${terminal.style("bold", each)}`);
  lines.push(`  agents   ${names.join(", ")}`);
  lines.push(`  identity ${fingerprint}`);
  if (node !== undefined) lines.push(`  node     ${escapeLine(`${node.name}, on ${node.database}`)}`);
  if (tools.length > 0) lines.push(`  tools    ${tools.join(", ")}`);
  if (provisioners.length > 0) lines.push(`  keys by  ${provisioners.join(", ")}`);
  if (gateway !== undefined) lines.push(`  gateway  ${gateway}`);
  if (dashboardUrl !== undefined)
    lines.push(`  look     ${signInUrl(dashboardUrl, isOpen ? "any" : developer?.value)}`);
  if (healthUrl !== undefined) lines.push(`  metrics  ${healthUrl}/metrics`);
  if (file !== undefined) lines.push(`  config   ${file}`);
  if (developer !== undefined) {
    lines.push(`  token    made for this directory, in ${join(".arcp", "token")}; commands that you run here find it`);
  }
  const [name = ""] = (names[0] ?? "").split("@");
  const where = url === DEFAULT_URL ? "" : ` --url ${url}`;
  const token = isOpen ? "ARCP_TOKEN=any " : "";
  lines.push("", "Now type, in another terminal:");
  lines.push(`  ${token}npx arcp submit ${name}${where} --input '{"hello":"world"}'`, "");
  process.stdout.write(`${lines.join("\n")}\n`);
}

/**
 * Who follows it is signed in. The token is in the fragment, which browsers send nowhere; and only on a screen, where nobody
 * keeps it.
 */
const signInUrl = (url: string, token: string | undefined): string =>
  token === undefined || !process.stdout.isTTY ? url : `${url}#token=${encodeURIComponent(token)}`;
