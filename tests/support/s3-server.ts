/**
 * A small store that speaks S3, over HTTP on the loopback, and is strict: every request must be signed as Signature Version 4
 * says, contents must have the digest that was signed, parts must be as large as S3 wants them. It can be told to be full, out
 * of order, or to lose connections.
 */
import { createHash, createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

interface StoredObject {
  readonly content: Buffer;
  readonly tag: string;
  at: number;
}

interface PendingUpload {
  readonly key: string;
  readonly parts: Map<number, { readonly content: Buffer; readonly tag: string }>;
  at: number;
}

export interface SignedRequest {
  readonly method: string;
  /** As it was sent: encoded, without the query. */
  readonly path: string;
  /** As it was sent, without the question mark. */
  readonly query: string;
  /** Of every header that was sent, by its name in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

const MIN_PART_BYTES = 5 * 1024 * 1024;
const MAX_SKEW_MS = 900_000;
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=(?<id>[^/]+)\/(?<scope>\d{8}\/[^/]+\/s3\/aws4_request), ?SignedHeaders=(?<names>[^,]+), ?Signature=(?<signature>[0-9a-f]{64})$/;

const digestOf = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** The signature that a request must have ("Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference). */
export function signatureOf(request: SignedRequest, names: readonly string[], scope: string, secret: string): string {
  const query =
    request.query === "" ? [] : request.query.split("&").map((part) => (part.includes("=") ? part : `${part}=`));
  const canonical = [
    ...[request.method, request.path, query.sort().join("&")],
    ...names.map((name) => `${name}:${(request.headers[name] ?? "").trim().replaceAll(/ +/g, " ")}`),
    ...["", names.join(";"), request.headers["x-amz-content-sha256"] ?? ""],
  ].join("\n");
  const signed = ["AWS4-HMAC-SHA256", request.headers["x-amz-date"] ?? "", scope, digestOf(canonical)].join("\n");
  let key: string | Buffer = `AWS4${secret}`;
  for (const part of scope.split("/")) key = hmac(key, part);
  return hmac(key, signed).toString("hex");
}

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(code);
    [this.status, this.code] = [status, code];
  }
}

export class S3Server {
  readonly bucket = "artifacts";
  readonly credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, PendingUpload>();
  /** Entries of a page of a list. */
  pageSize = 1_000;
  isFull = false;
  /** So many requests are answered with 503, or not at all. */
  outage: { left: number; readonly how: "busy" | "cut" } = { left: 0, how: "busy" };
  /** So many contents break off in the middle. */
  brokenReads = 0;
  /** So many uploads are put together, and nobody hears of it. */
  lostCompletions = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<S3Server> {
    const server = new S3Server();
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** Everything is so much older. */
  age(ms: number): void {
    for (const thing of [...this.objects.values(), ...this.uploads.values()]) thing.at -= ms;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    try {
      for await (const piece of request) pieces.push(piece as Buffer);
      if (this.outage.left > 0) {
        this.outage.left -= 1;
        if (this.outage.how === "cut") return void request.socket.destroy();
        throw new Refusal(503, "SlowDown");
      }
      this.#serve(request, Buffer.concat(pieces), response);
    } catch (error) {
      if (!(error instanceof Refusal)) return void request.socket.destroy(error as Error);
      const body = `<?xml version="1.0"?>\n<Error><Code>${error.code}</Code><Message>no</Message></Error>`;
      response.writeHead(error.status, { "content-type": "application/xml" });
      response.end(request.method === "HEAD" ? undefined : body);
    }
  }

  #serve(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const [path = "", query = ""] = (request.url ?? "").split("?");
    const { method = "" } = request;
    this.#assertSigned({ method, path, query, headers: request.headers as Record<string, string> }, body);
    const [, bucket, ...rest] = path.split("/");
    if (bucket !== this.bucket) throw new Refusal(404, "NoSuchBucket");
    const key = decodeURIComponent(rest.join("/"));
    const asked = new URLSearchParams(query);
    if (key === "") this.#list(asked, response);
    else if (method === "PUT") this.#put(key, asked, body, response);
    else if (method === "POST") this.#assemble(key, asked, body, response);
    else if (method === "DELETE") this.#delete(key, asked, response);
    else this.#get(key, request, response);
  }

  #assertSigned(request: SignedRequest, body: Buffer): void {
    const parts = AUTHORIZATION.exec(request.headers["authorization"] ?? "")?.groups;
    if (parts === undefined) throw new Refusal(403, "AccessDenied");
    const { id = "", scope = "", names = "", signature = "" } = parts;
    if (id !== this.credentials.accessKeyId) throw new Refusal(403, "InvalidAccessKeyId");
    const date = request.headers["x-amz-date"] ?? "";
    const at = Date.parse(date.replace(/^(....)(..)(..T..)(..)/, "$1-$2-$3:$4:"));
    if (!(Math.abs(Date.now() - at) < MAX_SKEW_MS) || !date.startsWith(scope.slice(0, 8))) {
      throw new Refusal(403, "RequestTimeTooSkewed");
    }
    const signed = names.split(";");
    const mustBeSigned = ["host", ...Object.keys(request.headers).filter((name) => name.startsWith("x-amz-"))];
    if (mustBeSigned.some((name) => !signed.includes(name)) || signed.join() !== [...signed].sort().join()) {
      throw new Refusal(403, "AccessDenied");
    }
    const wanted = signatureOf(request, signed, scope, this.credentials.secretAccessKey);
    if (!timingSafeEqual(Buffer.from(wanted), Buffer.from(signature))) throw new Refusal(403, "SignatureDoesNotMatch");
    if (request.headers["x-amz-content-sha256"] !== digestOf(body)) throw new Refusal(400, "XAmzContentSHA256Mismatch");
  }

  #put(key: string, asked: URLSearchParams, content: Buffer, response: ServerResponse): void {
    if (this.isFull) throw new Refusal(507, "XMinioStorageFull");
    const tag = `"${createHash("md5").update(content).digest("hex")}"`;
    const uploadId = asked.get("uploadId");
    if (uploadId === null) this.objects.set(key, { content, tag, at: Date.now() });
    else this.#upload(key, uploadId).parts.set(Number(asked.get("partNumber")), { content, tag });
    response.writeHead(200, { etag: tag }).end();
  }

  #upload(key: string, id: string | null): PendingUpload {
    const upload = this.uploads.get(id ?? "");
    if (upload === undefined || upload.key !== key) throw new Refusal(404, "NoSuchUpload");
    return upload;
  }

  #assemble(key: string, asked: URLSearchParams, body: Buffer, response: ServerResponse): void {
    if (asked.has("uploads")) {
      const id = `${randomUUID()}&<`;
      this.uploads.set(id, { key, parts: new Map(), at: Date.now() });
      const escaped = id.replace("&", "&amp;").replace("<", "&lt;");
      return void response.end(
        `<InitiateMultipartUploadResult><UploadId>${escaped}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    const id = asked.get("uploadId");
    const upload = this.#upload(key, id);
    const listed = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>&quot;(\w+)&quot;<\/ETag>/g)];
    const parts = listed.map(([, number, tag], index) => {
      const part = upload.parts.get(Number(number));
      if (part?.tag !== `"${tag}"` || Number(number) !== index + 1) throw new Refusal(400, "InvalidPart");
      if (index < listed.length - 1 && part.content.length < MIN_PART_BYTES) throw new Refusal(400, "EntityTooSmall");
      return part.content;
    });
    if (parts.length === 0) throw new Refusal(400, "MalformedXML");
    const content = Buffer.concat(parts);
    this.objects.set(key, { content, tag: `"${digestOf(content).slice(0, 32)}-${parts.length}"`, at: Date.now() });
    this.uploads.delete(id ?? "");
    if (this.lostCompletions > 0) {
      this.lostCompletions -= 1;
      return void response.socket?.destroy();
    }
    response.end("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
  }

  #delete(key: string, asked: URLSearchParams, response: ServerResponse): void {
    const uploadId = asked.get("uploadId");
    if (uploadId === null) this.objects.delete(key);
    else {
      this.#upload(key, uploadId);
      this.uploads.delete(uploadId);
    }
    response.writeHead(204).end();
  }

  #get(key: string, { method, headers }: IncomingMessage, response: ServerResponse): void {
    const found = this.objects.get(key);
    if (found === undefined) throw new Refusal(404, "NoSuchKey");
    const { content, tag } = found;
    if (headers["if-match"] !== undefined && headers["if-match"] !== tag) throw new Refusal(412, "PreconditionFailed");
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    const [start, end] = [Number(first ?? 0), Math.min(Number(last ?? Number.POSITIVE_INFINITY) + 1, content.length)];
    if (first !== undefined && start >= content.length) throw new Refusal(416, "InvalidRange");
    const range = first === undefined ? {} : { "content-range": `bytes ${start}-${end - 1}/${content.length}` };
    response.writeHead(first === undefined ? 200 : 206, { etag: tag, "content-length": end - start, ...range });
    if (method === "HEAD") return void response.end();
    if (this.brokenReads > 0) {
      this.brokenReads -= 1;
      return void response.write(content.subarray(start, start + Math.floor((end - start) / 2)), () => {
        response.socket?.destroy();
      });
    }
    response.end(content.subarray(start, end));
  }

  #list(asked: URLSearchParams, response: ServerResponse): void {
    const prefix = asked.get("prefix") ?? "";
    const inOrder = <Thing>(things: Iterable<readonly [string, Thing]>) =>
      [...things].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
    const time = (at: number): string => new Date(at).toISOString();
    if (asked.has("uploads")) {
      const all = inOrder([...this.uploads].map(([id, upload]) => [upload.key, { ...upload, id }] as const));
      const after = asked.get("upload-id-marker");
      const from = after === null ? 0 : all.findIndex(([, { id }]) => id === after) + 1;
      const page = all.slice(from, from + this.pageSize);
      const escaped = (id: string) => id.replace("&", "&amp;").replace("<", "&lt;");
      const list = page.map(
        ([key, { id, at }]) =>
          `<Upload><Key>${key}</Key><UploadId>${escaped(id)}</UploadId><Initiated>${time(at)}</Initiated></Upload>`,
      );
      const [lastKey, last] = page.at(-1) ?? [];
      const marker = `<NextKeyMarker>${lastKey}</NextKeyMarker><NextUploadIdMarker>${escaped(last?.id ?? "")}</NextUploadIdMarker>`;
      const isCut = from + page.length < all.length;
      return void response.end(`<R><IsTruncated>${isCut}</IsTruncated>${isCut ? marker : ""}${list.join("")}</R>`);
    }
    const all = inOrder(this.objects);
    const from = Number(asked.get("continuation-token") ?? 0);
    const page = all.slice(from, from + this.pageSize);
    const list = page.map(
      ([key, { at }]) => `<Contents><Key>${key}</Key><LastModified>${time(at)}</LastModified></Contents>`,
    );
    const next = from + page.length;
    const more = next < all.length ? `<NextContinuationToken>${next}</NextContinuationToken>` : "";
    response.end(`<ListBucketResult>${list.join("")}${more}</ListBucketResult>`);
  }
}
