import type { Command } from "commander";
import { Option } from "commander";
import type { ExitCode } from "../exit-code.ts";
import { parseSeconds, parseSecondsOrZero } from "../instant.ts";
import { parseLabel } from "../node-settings.ts";
import { type ServeOptions, serve } from "../serve.ts";

const EXAMPLES = `
Examples:
  arcp serve                                           try it out: serves a built-in echo agent on this machine
  arcp serve --agent echo=./echo.ts --agent sum@2.0.0=./sum.ts
  ARCP_TOKEN=s3cret=alice,0ther=bob arcp serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
  arcp serve --jwks https://issuer.example.com/jwks.json --jwt-issuer https://issuer.example.com --jwt-audience arcp
  arcp serve --ws --port 7878                          to try out a client: any token will do, on this machine
  arcp serve --unix /run/user/1000/arcp.sock           clients take --url unix:///run/user/1000/arcp.sock
  arcp serve --db postgresql://arcp@db/arcp --node-name a   one of several nodes (docs/cluster.md)
  arcp serve --stdio --agent echo=./echo.ts            as the child of another program, one message per line

Without a token it serves this machine only, and makes one that commands in the same directory find by themselves.`;

export function addServe(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("serve")
    .description("Run agents, and let clients submit jobs to them")
    .option("--config <file>", "default: arcp.config.ts, .js, .mjs or .json in this directory")
    .option("--agent <name=file>", "an agent: name=file or name@version=file; repeatable", collect)
    .option("-s, --stdio", "serve the parent process over standard input and output")
    .option("-w, --ws", "let any token in, on this machine only, unless there are tokens")
    .addOption(
      new Option("--transport <carrier>", "as --stdio, or over WebSockets, as without").choices(["ws", "stdio"]),
    )
    .option("--unix <path>", "listen on a Unix socket (Windows: pipe:name), for this user alone; with --port, on both")
    .option("--bind <host:port>", "--host and --port in one")
    .option("--host <host>", "address to listen on (default: 127.0.0.1)")
    .option("-p, --port <port>", "port to listen on; 0: any free one (default: 7777)")
    .option("--path <path>", "path of the WebSocket endpoint (default: /arcp, / and /ws)")
    .option("--db <database>", "a file, :memory:, or postgresql://…; else ARCP_DB (default: .arcp/runtime.db)")
    .option("--node-name <name>", "on PostgreSQL: by which people know this node (default: the machine's name)")
    .option("--label <key=value>", "on PostgreSQL: a label of this node; repeatable", parseLabel)
    .option(
      "--node-ttl <seconds>",
      "on PostgreSQL: silence after which others take its jobs (default: 8)",
      parseSeconds,
    )
    .addOption(new Option("--sync <mode>", "when commits are synced to disk").choices(["full", "normal"]))
    .option("--drain <seconds>", "how long jobs may go on after SIGTERM or SIGINT (default: 5)", parseSecondsOrZero)
    .option(
      "--token <token[=principal]>",
      "let this token in; repeatable; others can see it: prefer ARCP_TOKEN",
      collect,
    )
    .option("--token-file <file>", "file with one TOKEN[=PRINCIPAL] per line, mode 600")
    .option("--jwks <url or file>", "let in who has a JWT signed with one of these keys")
    .option("--jwt-secret-file <file>", "the same with a secret for HMAC, in a file of mode 600")
    .option("--jwt-issuer <name>", "who has issued JWTs: their iss")
    .option("--jwt-audience <name>", "whom JWTs are for: this runtime, in their aud")
    .option("--jwt-scopes <claim>", "where JWTs say what they permit, such as scope (default: everything of one's own)")
    .option("--jwt-tenant <claim>", "where JWTs say whose customer their principal is")
    .option("--oidc-issuer <url>", "people sign in to the dashboard there (OpenID Connect)")
    .option("--oidc-client-id <id>", "by which that provider knows the dashboard")
    .option("--oidc-client-secret-file <file>", "its secret, in a file of mode 600 (default: it has none)")
    .option("--oidc-scopes <claim>", "where ID tokens say what they permit (default: everything of one's own)")
    .option("--oidc-tenant <claim>", "where ID tokens say whose customer their principal is")
    .option("--public-url <url>", "where browsers find the dashboard, https://…/; repeatable", collect)
    .option(
      "--client-ca <file>",
      "let in who has a certificate of this authority, PEM, and nobody else; needs --tls-cert",
    )
    .addOption(
      new Option("--client-name <kind>", "which name in a client's certificate is the principal").choices([
        "san:uri",
        "san:dns",
        "san:email",
        "cn",
      ]),
    )
    .option("--tls-cert <file>", "certificate, PEM")
    .option("--tls-key <file>", "private key, PEM")
    .option("--no-http", "WebSockets alone: neither HTTP with Server-Sent Events, at /arcp/http, nor REST, at /v1")
    .option("--no-dashboard", "no dashboard at /")
    .option("--compression", "compress frames of WebSockets for clients that offer it (permessage-deflate)")
    .option("--allow-insecure", "allow plain ws:// beyond this machine")
    .option("--webhook <url>", "tell this URL of ends, questions and budgets; repeatable; needs a secret", collect)
    .option("--webhook-secret-file <file>", "the secret that those are signed with, mode 600; else ARCP_WEBHOOK_SECRET")
    .option("--metrics <[host:]port>", "listen for /metrics, /healthz and /readyz; on this machine without a host")
    .addOption(
      new Option("--log-level <level>", "what to log (default: info)").choices([
        "debug",
        "info",
        "warn",
        "error",
        "silent",
      ]),
    )
    .option("--json", 'print one line of JSON when ready: {"type":"ready","url":…}')
    .addHelpText("after", EXAMPLES)
    .action((options: ServeOptions) => run(() => serve(options)));
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
