/** `arcp token`: JWTs for trying things out, signed with a key of this directory. */
import { PERMISSIONS } from "@arcp/core";
import { type Command, Option } from "commander";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { parseSeconds } from "../instant.ts";
import { SigningKeyFile, type TokenAlgorithm } from "../signing-key.ts";

interface Options {
  readonly subject: string;
  readonly audience: string;
  readonly issuer: string;
  readonly scope?: readonly string[];
  readonly tenant?: string;
  readonly expires: number;
  readonly alg: TokenAlgorithm;
  readonly key?: string;
}

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;

const EXAMPLES = `
Examples:
  arcp token                                           for alice, and everything of hers, for an hour
  arcp token --subject bob --scope observe:own         who can look at his jobs, and nothing else
  ARCP_TOKEN=$(arcp token) arcp submit echo --input '{}'

The token goes to standard output; how to have a runtime accept it, to standard error. The key stays in this directory. It is
for development: whoever can read it can be anybody.`;

export function addToken(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("token")
    .description("Make a JWT for development")
    .option("--subject <principal>", "whom it speaks for", "alice")
    .option("--audience <name>", "the runtime that it is for", "arcp")
    .option("--issuer <name>", "who has issued it", "arcp-development")
    .option(
      "--scope <permission>",
      `what it permits: ${PERMISSIONS.join(", ")}; repeatable (default: no scopes)`,
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option("--tenant <name>", "whose customer the principal is")
    .option("--expires <seconds>", "how long it is good for, a day at most", parseSeconds, HOUR_SECONDS)
    .addOption(new Option("--alg <algorithm>", "how it is signed").choices(["ES256", "HS256"]).default("ES256"))
    .option("--key <file>", "the key, made if there is none (default: .arcp/jwt-key.json, for HS256 .arcp/jwt-secret)")
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => run(() => token(options)));
}

async function token(options: Options): Promise<ExitCode> {
  const { subject, audience, issuer, scope, tenant, expires, alg, key: path } = options;
  const unknown = scope?.find((name) => !PERMISSIONS.some((permission) => permission === name));
  if (unknown !== undefined) throw new UsageError(`--scope ${unknown}: there are ${PERMISSIONS.join(", ")}`);
  if (expires > DAY_SECONDS) throw new UsageError("--expires: a day (86400) at most");
  const key = await SigningKeyFile.open(alg, path);
  const claims = {
    ...{ sub: subject, aud: audience, iss: issuer },
    ...(scope !== undefined && { scope: scope.join(" ") }),
    ...(tenant !== undefined && { tenant }),
  };
  process.stdout.write(`${await key.sign(claims, expires)}\n`);
  const more = [
    ...(scope === undefined ? [] : ["--jwt-scopes scope"]),
    ...(tenant === undefined ? [] : ["--jwt-tenant tenant"]),
  ];
  const serve = ["arcp serve", key.serveOption, `--jwt-issuer ${issuer}`, `--jwt-audience ${audience}`, ...more];
  process.stderr.write(`arcp: a runtime takes it that was started with\n  ${serve.join(" ")}\n`);
  return EXIT.success;
}
