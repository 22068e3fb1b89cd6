/** What a client asks for, read strictly: whatever decides about cost and reach is looked at before it is passed on. */
import type { IncomingMessage } from "node:http";
import type { Clock } from "@arcp/core";
import { malformed, refusedPermission, refusedRequest, tooSlow } from "./refusal.ts";
import type { Route } from "./routes.ts";
import { isObject } from "./usage.ts";

const MAX_CHOICES = 128;
const MAX_MODEL_LENGTH = 256;
const MAX_CONTENT_DEPTH = 64;

/**
 * Members that reach beyond the request: state that the upstream keeps for whoever shares its key, tools that it runs
 * with a network of its own, and prices that no table knows. An upstream's `allow` lets them through by name.
 */
const REFUSED_MEMBERS = new Set([
  "previous_response_id",
  "conversation",
  "background",
  "container",
  "mcp_servers",
  "web_search_options",
  "audio",
  "speed",
  "inference_geo",
]);
const STANDARD_TIERS = ["auto", "default", "standard_only", "flex"];

/** Tools that the client runs. */
const CLIENT_TOOL =
  /^(?:function|custom|local_shell|apply_patch|computer_use_preview|(?:bash|text_editor|computer|memory)_\d{8})$/;

const TEXT_TYPES = new Set(
  (
    "text input_text output_text refusal thinking redacted_thinking tool_use tool_result message function_call " +
    "function_call_output custom_tool_call custom_tool_call_output reasoning reasoning_text summary_text search_result " +
    "computer_call computer_call_output local_shell_call local_shell_call_output apply_patch_call apply_patch_call_output"
  ).split(" "),
);
const IMAGE_TYPES = new Set(["image", "image_url", "input_image", "computer_screenshot"]);

/** Every name above and those that are read below: they are written exactly so, or not at all. */
const READ_MEMBERS = new Set([
  ...REFUSED_MEMBERS,
  ..."model stream stream_options n best_of max_tokens max_completion_tokens max_output_tokens prompt".split(" "),
  ..."messages input system instructions tools service_tier modalities".split(" "),
]);

/** A request to a model, as far as the gateway reads it. */
export interface ModelRequest {
  readonly model: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly isStreamed: boolean;
  /** Did the client ask for the usage of a stream? */
  readonly asksForUsage: boolean;
  /** The most output tokens of one answer, if the client named a limit. */
  readonly maxOutputTokens: number | undefined;
  /** How many answers. */
  readonly choices: number;
  readonly content: Content;
}

/** What the model would read. */
export interface Content {
  readonly images: number;
  /** Characters of images that are part of the body. */
  readonly imageBytes: number;
  /** Documents, sounds and whatever else says nothing about its tokens by its size. */
  readonly opaque: number;
}

/**
 * The whole body. Rejects with a typed error when it is too large, too slow or broken off, and with the reason of
 * `signal` when that aborts.
 */
export async function readBody(request: IncomingMessage, limits: BodyLimits, signal: AbortSignal): Promise<Buffer> {
  const { maxBytes, timeoutMs, clock } = limits;
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  const late = Promise.withResolvers<never>();
  const stopTimer = clock.setTimer(() => late.reject(tooSlow()), timeoutMs);
  const stop = (): void => late.reject(signal.reason);
  signal.addEventListener("abort", stop);
  const read = async (): Promise<Buffer> => {
    try {
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > maxBytes) throw tooLarge(maxBytes);
        chunks.push(chunk);
      }
    } catch (error) {
      throw request.readableAborted || request.errored ? malformed("the request broke off") : error;
    }
    return Buffer.concat(chunks);
  };
  try {
    signal.throwIfAborted();
    return await Promise.race([read(), late.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
    stopTimer();
  }
}

export interface BodyLimits {
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

const tooLarge = (max: number): Error => refusedRequest("body_too_large", `a body has at most ${max} bytes`);

/** A JSON object, whatever it says. @throws InvalidRequestError for anything else. */
export function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw malformed("the body is not JSON in UTF-8");
  }
  if (!isObject(value)) throw malformed("the body is a JSON object");
  return value;
}

/**
 * The request in `bytes`.
 *
 * @throws InvalidRequestError for one that is malformed where it is read.
 * @throws PermissionDeniedError for one that reaches beyond itself.
 */
export function parseModelRequest(route: Route, bytes: Buffer): ModelRequest {
  const body = parseObject(bytes);
  for (const name of Object.keys(body)) {
    // Some upstreams read names in any case: what is checked here must be what is read there.
    const folded = name.normalize("NFKC").toLowerCase();
    if (folded !== name && READ_MEMBERS.has(folded)) throw malformed(`${folded} is spelt in lower case`);
  }
  const { model } = body;
  if (typeof model !== "string" || model === "") throw malformed("model is required");
  if (model.length > MAX_MODEL_LENGTH) throw malformed(`model has at most ${MAX_MODEL_LENGTH} characters`);
  const isStreamed = booleanOf(body, "stream");
  const options = body["stream_options"] ?? {};
  if (!isObject(options)) throw malformed("stream_options is an object");
  return {
    model,
    body,
    isStreamed,
    asksForUsage: options["include_usage"] === true,
    maxOutputTokens: limitOf(route, body),
    choices: choicesOf(route, body),
    content: contentOf(route, body),
  };
}

/**
 * Refuses what `request` asks beyond a model's answer, unless `allowed` names it. Returns what it asks for and is
 * allowed: its size says nothing about what that costs.
 */
export function featuresOf(route: Route, { body }: ModelRequest, allowed: ReadonlySet<string>): readonly string[] {
  const features: string[] = [];
  const refuse = (feature: string): void => {
    if (!allowed.has(feature)) {
      throw refusedPermission("feature_not_permitted", `${feature} is not permitted here`, { feature });
    }
    features.push(feature);
  };
  for (const [name, value] of Object.entries(body)) {
    if (REFUSED_MEMBERS.has(name) && value !== null && value !== false) refuse(name);
  }
  const { service_tier: tier, modalities, prompt } = body;
  if (tier !== undefined && tier !== null && !STANDARD_TIERS.includes(String(tier))) refuse("service_tier");
  if (modalities !== undefined && modalities !== null && String(modalities) !== "text") refuse("modalities");
  if (route.usage === "responses" && isObject(prompt)) refuse("prompt");
  for (const type of toolTypes(body)) {
    if (!CLIENT_TOOL.test(type)) refuse(`tools:${type.slice(0, 64)}`);
  }
  for (const name of route.content) {
    for (const feature of remoteContent(body[name])) refuse(feature);
  }
  return features;
}

/** `request` as it goes to the upstream: its model's name there, its limit, its usage asked for. */
export function upstreamBody(
  route: Route,
  request: ModelRequest,
  upstream: { readonly model: string; readonly limit: readonly [member: string, tokens: number] | undefined },
): Buffer {
  const asksForUsage = route.streamsUsageOnRequest && request.isStreamed;
  return Buffer.from(
    encoded({
      ...request.body,
      model: upstream.model,
      ...(upstream.limit !== undefined && { [upstream.limit[0]]: upstream.limit[1] }),
      ...(asksForUsage && { stream_options: { ...(request.body["stream_options"] ?? {}), include_usage: true } }),
    }),
  );
}

/**
 * The most input tokens that the request can count as: one for each byte, of whichever spelling of its characters is
 * longer, and what the API adds for tools. Undefined if its size says nothing about it.
 */
export function inputBound(request: ModelRequest, price: InputLimits, features: readonly string[]): number | undefined {
  const { body, content } = request;
  const { maxInputTokens, imageTokens } = price;
  const images = content.images === 0 ? 0 : imageTokens;
  if (content.opaque > 0 || features.length > 0 || images === undefined) return maxInputTokens;
  const text = encoded(body);
  const bytes = Math.max(Buffer.byteLength(text), Buffer.byteLength(text.normalize("NFKC")));
  const tools = body["tools"] === undefined && body["functions"] === undefined ? 0 : TOOL_TOKENS;
  const tokens = bytes - content.imageBytes + content.images * images + tools;
  return maxInputTokens === undefined ? tokens : Math.min(tokens, maxInputTokens);
}

interface InputLimits {
  readonly maxInputTokens: number | undefined;
  readonly imageTokens: number | undefined;
}

/** More than any API puts before the definitions of tools. */
const TOOL_TOKENS = 1_000;

/** May the upstream write some of the input to a cache at a price of its own? Only if it is asked to. */
export const mayWriteCache = ({ body }: ModelRequest): boolean => encoded(body).includes('"cache_control"');

function encoded(body: unknown): string {
  try {
    return JSON.stringify(body);
  } catch {
    throw malformed("the body is nested too deeply");
  }
}

function booleanOf(body: Readonly<Record<string, unknown>>, name: string): boolean {
  const value = body[name] ?? false;
  if (typeof value !== "boolean") throw malformed(`${name} is true or false`);
  return value;
}

function countOf(body: Readonly<Record<string, unknown>>, name: string, max: number): number | undefined {
  const value = body[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1 || value > max) {
    throw malformed(`${name} is a whole number from 1 to ${max}`);
  }
  return value;
}

const MAX_OUTPUT_TOKENS = 100_000_000;

function limitOf(route: Route, body: Readonly<Record<string, unknown>>): number | undefined {
  const limits = route.limits.flatMap((name) => countOf(body, name, MAX_OUTPUT_TOKENS) ?? []);
  return limits.length === 0 ? undefined : Math.max(...limits);
}

function choicesOf(route: Route, body: Readonly<Record<string, unknown>>): number {
  if (route.limits.length === 0) return 0;
  if (route.usage !== "openai") return 1;
  const each = Math.max(countOf(body, "n", MAX_CHOICES) ?? 1, countOf(body, "best_of", MAX_CHOICES) ?? 1);
  return each * promptsOf(body["prompt"]);
}

/** Texts or lists of tokens in a list are prompts of their own; tokens in a list are one. */
function promptsOf(prompt: unknown): number {
  if (!Array.isArray(prompt)) return 1;
  return Math.max(1, prompt.filter((part) => typeof part !== "number").length);
}

function toolTypes(body: Readonly<Record<string, unknown>>): string[] {
  const tools = body["tools"] ?? [];
  if (!Array.isArray(tools)) throw malformed("tools is a list");
  return tools.map((tool) => (isObject(tool) ? String(tool["type"] ?? "custom") : "unknown"));
}

type Part = Readonly<Record<string, unknown>>;

/** Every part that is read by the model, with those inside it. The arguments of tools are nobody's parts. */
function* partsOf(value: unknown, depth = 0): Generator<Part> {
  if (depth > MAX_CONTENT_DEPTH) throw malformed("the content is nested too deeply");
  if (Array.isArray(value)) {
    for (const item of value) yield* partsOf(item, depth + 1);
  } else if (isObject(value)) {
    yield value;
    yield* partsOf(value["content"], depth + 1);
    yield* partsOf(value["output"], depth + 1);
    const { source } = value;
    if (value["type"] === "document" && isObject(source)) yield* partsOf(source["content"], depth + 1);
  }
}

const typeOf = (part: Part): string => String(part["type"] ?? "message");

function contentOf(route: Route, body: Part): Content {
  let images = 0;
  let imageBytes = 0;
  let opaque = 0;
  for (const part of route.content.flatMap((name) => [...partsOf(body[name])])) {
    const type = typeOf(part);
    if (IMAGE_TYPES.has(type)) {
      images += 1;
      imageBytes += imageTextOf(part).length;
    } else if (!TEXT_TYPES.has(type) && !isTextDocument(part)) {
      opaque += 1;
    }
  }
  return { images, imageBytes, opaque };
}

const isTextDocument = (part: Part): boolean => {
  const { type, source } = part;
  return type === "document" && isObject(source) && (source["type"] === "text" || source["type"] === "content");
};

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** The image itself where the body holds it; what is not that counts as text. */
function imageTextOf(part: Part): string {
  const { source } = part;
  const text = isObject(source) && source["type"] === "base64" ? source["data"] : urlOf(part)?.split(";base64,")[1];
  return typeof text === "string" && BASE64.test(text) ? text : "";
}

function urlOf(part: Part): string | undefined {
  const { image_url: image, source } = part;
  const url = isObject(image) ? image["url"] : (image ?? (isObject(source) ? source["url"] : undefined));
  return typeof url === "string" ? url : undefined;
}

/** What the upstream would have to fetch, to look up among what others may have left there, or to listen to. */
function* remoteContent(value: unknown): Generator<string> {
  for (const part of partsOf(value)) {
    const { type, source } = part;
    if (type === "input_audio" || type === "audio") yield "audio";
    const places = [part, source, part["file"], part["image_url"]].filter(isObject);
    if (type === "item_reference" || places.some((place) => typeof place["file_id"] === "string"))
      yield "stored_content";
    const urls = [part["image_url"], part["file_url"], ...places.map((place) => place["url"] ?? place["file_url"])];
    if (urls.some((url) => typeof url === "string" && !url.startsWith("data:"))) yield "remote_content";
  }
}
