import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { buffer } from "node:stream/consumers";
import { ARCPToolClient } from "@arcp/client";
import type { Command } from "commander";
import { escapeLine, escapeText } from "../escape.ts";
import { bytes as sizeText } from "../event-line.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { parseSeconds } from "../instant.ts";
import { interruptible } from "../interruptible.ts";
import { printJson } from "../json-view.ts";
import { ResultFile } from "../result-file.ts";
import { credentialsFor, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";

interface PutOptions extends RuntimeAddress {
  readonly mediaType?: string;
  readonly ttl?: number;
  readonly json?: boolean;
}

interface GetOptions extends RuntimeAddress {
  readonly output?: string;
}

const EXAMPLES = `
Examples:
  arcp artifact put report.pdf --ttl 86400
  ID=$(generate | arcp artifact put - --media-type text/csv --no-json)
  arcp artifact get art_01J… -o report.pdf
  arcp artifact release art_01J…

An artifact belongs to whoever put it, is known by its id or its arcp: address, and is kept for a time.
Exit codes: 0 success, 1 refused, or not there, 64 wrong arguments.`;

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  ...{ ".json": "application/json", ".pdf": "application/pdf", ".png": "image/png", ".jpg": "image/jpeg" },
  ...{ ".txt": "text/plain", ".md": "text/markdown", ".csv": "text/csv", ".html": "text/html" },
};

export function addArtifact(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const artifact = program
    .command("artifact")
    .description("Put, get and release contents that are too large to be sent along")
    .addHelpText("after", EXAMPLES);
  const put = artifact
    .command("put")
    .description("Put a file, and print the artifact's id")
    .argument("<file>", "the file; - is standard input")
    .option("--media-type <type>", "what it is (default: by the file's name)")
    .option("--ttl <seconds>", "how long it is kept, as far as the runtime allows", parseSeconds)
    .option("--json", "the whole reference, as a line of JSON (default where the output is not a terminal)")
    .option("--no-json", "the id alone, wherever the output goes");
  withRuntimeAddress(put).action((file: string, options: PutOptions) =>
    run(() => interruptible((signal) => putFile(file, options, signal))),
  );
  const get = artifact
    .command("get")
    .description("Print an artifact, or save it")
    .argument("<artifact>", "its id or address")
    .option("-o, --output <file>", "save it to a file: complete, or not at all");
  withRuntimeAddress(get).action((id: string, options: GetOptions) =>
    run(() => interruptible((signal) => getContent(id, options, signal))),
  );
  const release = artifact
    .command("release")
    .description("Say that an artifact is not needed any more")
    .argument("<artifact>", "its id or address");
  withRuntimeAddress(release).action((id: string, options: RuntimeAddress) =>
    run(() =>
      interruptible(async (signal) => {
        await using client = await open(options, signal);
        await client.releaseArtifact(id, { signal });
        return EXIT.success;
      }),
    ),
  );
}

const open = async (address: RuntimeAddress, signal: AbortSignal): Promise<ARCPToolClient> =>
  ARCPToolClient.open(address.url, { ...(await credentialsFor(address)), signal });

async function putFile(file: string, options: PutOptions, signal: AbortSignal): Promise<ExitCode> {
  const content = file === "-" ? await buffer(process.stdin) : await read(file);
  const mediaType = options.mediaType ?? MEDIA_TYPES[extname(file).toLowerCase()] ?? "application/octet-stream";
  await using client = await open(options, signal);
  const ttl = options.ttl === undefined ? {} : { ttlSeconds: options.ttl };
  const ref = await client.putArtifact(content, { mediaType, signal, ...ttl });
  if (options.json ?? !process.stdout.isTTY) await printJson(process.stdout, { type: "artifact.ref", ...ref });
  else process.stdout.write(`${escapeLine(ref.artifact_id)}\n`);
  return EXIT.success;
}

async function read(file: string): Promise<Buffer> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${file}: ${error.code ?? error.message}`);
  });
}

async function getContent(id: string, { output, ...address }: GetOptions, signal: AbortSignal): Promise<ExitCode> {
  const file = output === undefined ? undefined : await ResultFile.open(output);
  try {
    await using client = await open(address, signal);
    const content = await client.fetchArtifact(id, { signal });
    if (file !== undefined) await file.commit({ result: content });
    else if (process.stdout.isTTY) process.stdout.write(forTerminal(content));
    else await written(content);
    return EXIT.success;
  } finally {
    await file?.discard();
  }
}

/** Text for people. Throws for what is none. */
function forTerminal(content: Uint8Array): string {
  try {
    return `${escapeText(new TextDecoder("utf-8", { fatal: true }).decode(content)).trimEnd()}\n`;
  } catch {
    throw new Error(`${sizeText(content.length)} that are not text: save them with --output FILE`);
  }
}

const written = (content: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(content, (error) => (error ? reject(error) : resolve()));
  });
