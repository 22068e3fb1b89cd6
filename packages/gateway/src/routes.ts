/** The doors of the gateway. What is not listed here does not exist. */
import type { UsageDialect } from "./usage.ts";

/** A model API that is spoken, to jobs and to providers alike. */
export type Api = "openai" | "anthropic";

/** One endpoint of a model API. */
export interface Route {
  readonly api: Api;
  readonly path: string;
  /** Behind an upstream's base URL. */
  readonly upstreamPath: string;
  readonly usage: UsageDialect;
  /** Does it cost anything? */
  readonly isFree: boolean;
  /** Members that limit the output, the one that the gateway sets first; none for what has no output. */
  readonly limits: readonly string[];
  /** Where what the model reads stands. */
  readonly content: readonly string[];
  /** Is usage only streamed on request? */
  readonly streamsUsageOnRequest: boolean;
}

const CHAT: Route = {
  api: "openai",
  path: "/v1/chat/completions",
  upstreamPath: "/chat/completions",
  usage: "openai",
  isFree: false,
  limits: ["max_completion_tokens", "max_tokens"],
  content: ["messages"],
  streamsUsageOnRequest: true,
};

const MESSAGES: Route = {
  api: "anthropic",
  path: "/v1/messages",
  upstreamPath: "/v1/messages",
  usage: "anthropic",
  isFree: false,
  limits: ["max_tokens"],
  content: ["messages", "system"],
  streamsUsageOnRequest: false,
};

const ROUTES: readonly Route[] = [
  CHAT,
  { ...CHAT, path: "/v1/completions", upstreamPath: "/completions", limits: ["max_tokens"], content: [] },
  {
    ...CHAT,
    path: "/v1/responses",
    upstreamPath: "/responses",
    usage: "responses",
    limits: ["max_output_tokens"],
    content: ["input", "instructions"],
    streamsUsageOnRequest: false,
  },
  {
    ...CHAT,
    path: "/v1/embeddings",
    upstreamPath: "/embeddings",
    limits: [],
    content: [],
    streamsUsageOnRequest: false,
  },
  MESSAGES,
  {
    ...MESSAGES,
    path: "/v1/messages/count_tokens",
    upstreamPath: "/v1/messages/count_tokens",
    isFree: true,
    limits: [],
  },
];

const BY_PATH: ReadonlyMap<string, Route> = new Map(ROUTES.map((route) => [route.path, route]));

export const routeOf = (method: string | undefined, path: string): Route | undefined =>
  method === "POST" ? BY_PATH.get(path) : undefined;

/** In whose words an answer is given where no route says it. */
export const apiOf = (path: string, headers: Readonly<Record<string, unknown>>): Api =>
  path.startsWith("/v1/messages") || headers["anthropic-version"] !== undefined ? "anthropic" : "openai";
