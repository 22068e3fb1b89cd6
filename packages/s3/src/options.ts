/** The keys that requests to the service are signed with. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of credentials that are lent for a while. */
  readonly sessionToken?: string | undefined;
}

/** Where the bucket is, and with which keys its contents are encrypted. */
export interface S3BlobsOptions {
  /** Of the service, without the bucket: `https://s3.eu-central-1.amazonaws.com`. */
  readonly endpoint: string;
  /** It has to be there. It may hold other things, under other prefixes. */
  readonly bucket: string;
  /** Before every key: of one database alone, what that does not know is removed. Default: `arcp/`. */
  readonly prefix?: string;
  /** For which requests are signed. Default: `us-east-1`. */
  readonly region?: string;
  /**
   * Asked before each request, so that they can change. Default: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
   * `AWS_SESSION_TOKEN` of the environment.
   */
  readonly credentials?: S3Credentials | (() => S3Credentials | Promise<S3Credentials>);
  /**
   * Encrypts what is written from now on (AES-256-GCM), before it leaves this process: 32 random bytes each, the key in use
   * first, and behind it those that blobs may still be encrypted with. Default: none. What is there is read as it is.
   */
  readonly encryptionKeys?: readonly Uint8Array[];
  /** May contents be sent without TLS, to another machine? Default: false. */
  readonly allowInsecure?: boolean;
  /** After how long a request that is not answered is given up, and made again. Default: 60 seconds. */
  readonly timeoutMs?: number;
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);
const DEFAULT_TIMEOUT_MS = 60_000;

/** With every default. Throws TypeError for what cannot be meant. */
export function settled(options: S3BlobsOptions) {
  const { bucket, prefix = "arcp/", region = "us-east-1", credentials = environment } = options;
  const endpoint = endpointOf(options);
  // Rather now than when the first artifact comes.
  if (credentials === environment) environment();
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) throw new TypeError("the name of the bucket is none");
  if (!/^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)*$/.test(prefix)) {
    throw new TypeError(
      "a prefix is segments of letters, digits, dots, underscores and hyphens, each with a / behind it",
    );
  }
  return {
    ...{ prefix, region, encryptionKeys: options.encryptionKeys ?? [] },
    root: `${endpoint}/${bucket}`,
    credentials: typeof credentials === "function" ? credentials : () => credentials,
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  };
}

export type SettledOptions = ReturnType<typeof settled>;

function endpointOf({ endpoint, allowInsecure = false }: S3BlobsOptions): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== "" || url.username !== "") {
    throw new TypeError("the endpoint is an https:// URL without anything behind its path");
  }
  if (url.protocol === "http:" && !allowInsecure && !LOOPBACK.has(url.hostname)) {
    throw new TypeError("the endpoint is not https://: `allowInsecure: true` sends contents without TLS");
  }
  return url.href.replace(/\/+$/, "");
}

function environment(): S3Credentials {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN } = process.env;
  if (!accessKeyId || !secretAccessKey) {
    throw new TypeError("no credentials: give `credentials`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  }
  return { accessKeyId, secretAccessKey, sessionToken: AWS_SESSION_TOKEN || undefined };
}
