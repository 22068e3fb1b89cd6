/** One request of a job to a model: authorized, priced, held, sent, passed back and settled, in this order (§9.6). */
import { ARCPError, BudgetExhaustedError, CancelledError, type Logger } from "@arcp/core";
import type { Operation } from "@arcp/runtime";
import type { Dispatcher } from "undici";
import { decimalOf, numberOf, unitsOf } from "./amount.ts";
import type { ClientResponse } from "./client-response.ts";
import { EventFrames, EventReader } from "./event-stream.ts";
import type { Key, ModelGuard } from "./keyring.ts";
import type { Price, PriceTable } from "./price.ts";
import { refusedPermission, upstreamFault } from "./refusal.ts";
import { featuresOf, inputBound, type ModelRequest, mayWriteCache, upstreamBody } from "./request.ts";
import type { Route } from "./routes.ts";
import { type ClientHeaders, UnsentError, type UpstreamModel, type Upstreams } from "./upstream.ts";
import { shownUsage, UsageMeter } from "./usage.ts";

export interface ExchangeTools {
  readonly upstreams: Upstreams;
  readonly prices: PriceTable;
  readonly logger: Logger;
  readonly limits: ResponseLimits;
}

export interface ResponseLimits {
  /** Bytes of a response that is not streamed. */
  readonly maxResponseBytes: number;
  /** Bytes of one event of a stream. */
  readonly maxEventBytes: number;
}

/** Who asks, and for what. */
export interface Asked {
  readonly route: Route;
  readonly request: ModelRequest;
  readonly headers: ClientHeaders;
  readonly key: Key;
  readonly guard: ModelGuard;
  /** Aborts when the key is revoked. */
  readonly stopped: AbortSignal;
  readonly client: ClientResponse;
}

/** What the request may cost, before its output is limited. */
interface Quote {
  readonly price: Price;
  /** Undefined if its size says nothing about it: only without a budget. */
  readonly inputTokens: number | undefined;
  readonly mayWriteCache: boolean;
}

interface Plan extends UpstreamModel {
  readonly quote: Quote | undefined;
  readonly isBudgeted: boolean;
}

/** What `tool_result` shows of a request. */
export interface ExchangeResult {
  readonly status: number;
  readonly usage?: Readonly<Record<string, number>>;
  readonly cost?: string;
  readonly currency?: string;
  /** The upstream has not said what it took: the cost is the most that it may have been. */
  readonly estimated?: true;
}

/** What has become of a request: what the upstream may ask money for. */
type Fate = "unsent" | "sent" | "refused";

const MIN_OUTPUT_TOKENS = 16;
/** Others may take what was left between two tries. */
const MAX_TRIES = 4;
const MAX_ERROR_BYTES = 1024 * 1024;
const PASSED_HEADERS = [
  "content-type",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "x-request-id",
  "request-id",
];

/** Carries out what was asked. Rejects with a typed error that the client has not been told of. */
export async function exchange(tools: ExchangeTools, asked: Asked): Promise<void> {
  const { route, request, guard } = asked;
  const plan = planOrRefusal(tools, asked);
  if (plan instanceof ARCPError) {
    // The lease is looked at first, and the refusal stands in the job's journal.
    await guard.operation("model.use", request.model, () => Promise.reject(plan), { args: argsOf(asked, undefined) });
    return;
  }
  let limit = request.maxOutputTokens ?? defaultLimit(route, plan);
  for (let tries = 1; ; tries += 1) {
    let isUnderWay = false;
    const estimate = plan.isBudgeted ? estimateOf(asked, plan, limit) : undefined;
    try {
      await guard.operation(
        "model.use",
        request.model,
        (operation) => {
          isUnderWay = true;
          return carryOut(tools, asked, plan, limit, operation);
        },
        {
          args: argsOf(asked, limit),
          describe: (result: ExchangeResult) => result,
          ...(estimate !== undefined && { cost: { [estimate.currency]: numberOf(estimate.units) } }),
        },
      );
      return;
    } catch (error) {
      const lower = isUnderWay || tries === MAX_TRIES ? undefined : affordableLimit(asked, plan, error);
      if (lower === undefined || limit === undefined || lower >= limit) throw error;
      limit = lower;
    }
  }
}

const argsOf = ({ route, request }: Asked, limit: number | undefined): object => ({
  model: request.model,
  endpoint: route.path,
  stream: request.isStreamed,
  ...(limit !== undefined && { max_output_tokens: limit }),
});

function planOrRefusal(tools: ExchangeTools, asked: Asked): Plan | ARCPError {
  try {
    return planOf(tools, asked);
  } catch (error) {
    if (error instanceof ARCPError) return error;
    throw error;
  }
}

function planOf({ upstreams, prices }: ExchangeTools, { route, request, key }: Asked): Plan {
  const model = upstreams.find(route.api, request.model);
  const features = featuresOf(route, request, model.upstream.allow);
  const { currencies } = key.facts;
  const isBudgeted = !route.isFree && currencies.size > 0;
  const price = route.isFree ? undefined : prices.priceOf(request.model);
  if (isBudgeted && (price === undefined || !currencies.has(price.currency))) {
    throw refusedPermission("no_price", `${request.model} has no price in a currency of the budget`, {
      model: request.model,
      currencies: [...currencies],
    });
  }
  if (price === undefined) return { ...model, quote: undefined, isBudgeted };
  const inputTokens = inputBound(request, price, features);
  if (isBudgeted && inputTokens === undefined) {
    throw refusedPermission("cost_unbounded", "nothing bounds what this request may cost", { model: request.model });
  }
  return { ...model, isBudgeted, quote: { price, inputTokens, mayWriteCache: mayWriteCache(request) } };
}

/** What a request that names no limit is held to, if a budget pays for it. */
const defaultLimit = (route: Route, { quote, isBudgeted }: Plan): number | undefined =>
  isBudgeted && route.limits.length > 0 ? quote?.price.maxOutputTokens : undefined;

interface Estimate {
  readonly units: bigint;
  readonly currency: string;
}

/** The most that the request may cost; undefined if nothing says so. */
function estimateOf({ request }: Asked, { quote }: Plan, limit: number | undefined): Estimate | undefined {
  if (quote?.inputTokens === undefined) return undefined;
  const { price, inputTokens } = quote;
  const output = request.choices * (limit ?? price.maxOutputTokens);
  return { units: price.bound(inputTokens, output, quote.mayWriteCache), currency: price.currency };
}

/** The limit that what is left pays for, after a refusal that says how much that is. */
function affordableLimit({ request }: Asked, { quote }: Plan, error: unknown): number | undefined {
  if (!(error instanceof BudgetExhaustedError) || request.maxOutputTokens !== undefined) return undefined;
  const { currency, remaining, estimate } = error.details ?? {};
  if (quote?.inputTokens === undefined || currency !== quote.price.currency || estimate === undefined) return undefined;
  if (typeof remaining !== "number" || remaining <= 0 || request.choices === 0) return undefined;
  const tokens = quote.price.affordable(unitsOf(remaining), quote.inputTokens, quote.mayWriteCache);
  const limit = Math.floor(tokens / request.choices);
  return limit < MIN_OUTPUT_TOKENS ? undefined : limit;
}

async function carryOut(
  tools: ExchangeTools,
  asked: Asked,
  plan: Plan,
  limit: number | undefined,
  operation: Operation,
): Promise<ExchangeResult> {
  const { route, request, headers, client, stopped } = asked;
  const signal = AbortSignal.any([operation.signal, stopped, client.signal]);
  const meter = new UsageMeter(route.usage);
  const settle = (): Promise<Omit<ExchangeResult, "status">> =>
    settleUsage(tools, asked, { plan, limit, operation, meter, fate });
  let fate: Fate = "unsent";
  try {
    signal.throwIfAborted();
    const names = route.limits[0] === "max_completion_tokens" ? plan.upstream.chatLimit : route.limits[0];
    const injected = request.maxOutputTokens === undefined && names !== undefined && limit !== undefined;
    const body = upstreamBody(route, request, { model: plan.name, limit: injected ? [names, limit] : undefined });
    fate = "sent";
    const response = await tools.upstreams.send(plan.upstream.request(route, body, headers, signal));
    const status = response.statusCode;
    if (status >= 300) {
      fate = "refused";
      await passRefusal(tools, plan, response, client);
      return { status };
    }
    const finish = await passResponse(tools, asked, plan, response, meter);
    const settled = await settle();
    finish();
    return { status, ...settled };
  } catch (error) {
    if (error instanceof UnsentError) fate = "unsent";
    await settle();
    throw reasonOf(error, asked, operation);
  }
}

/** Why an exchange has ended early, in the order of who has the say. */
function reasonOf(error: unknown, { stopped, client }: Asked, operation: Operation): ARCPError {
  if (operation.signal.aborted) return ARCPError.from(operation.signal.reason);
  if (stopped.aborted) return ARCPError.from(stopped.reason);
  if (client.signal.aborted) return new CancelledError("the client has gone", { cause: error });
  if (error instanceof ARCPError) return error;
  return upstreamFault("upstream_unavailable", "the upstream broke off", error);
}

/** Passes an error of the upstream on, without what it may say about the gateway's own account. */
async function passRefusal(
  { logger }: ExchangeTools,
  { upstream }: Plan,
  response: Dispatcher.ResponseData,
  client: ClientResponse,
): Promise<void> {
  const { statusCode: status } = response;
  const body = await readWhole(response, MAX_ERROR_BYTES);
  if (status === 401 || status === 403) {
    logger.error({ upstream: upstream.host, status }, "an upstream refuses the gateway's key");
    throw upstreamFault("upstream_refused_gateway", "the upstream does not let the gateway in");
  }
  if (status < 400) throw upstreamFault("upstream_unavailable", "the upstream leads elsewhere");
  const text = body.toString("utf8").replaceAll(upstream.secret.toString(), "[redacted]");
  client.begin(status, passedHeaders(response));
  client.end(text);
}

/** Passes a response on up to its end. Returns what ends it. */
async function passResponse(
  { limits }: ExchangeTools,
  { route, request, client }: Asked,
  { upstream }: Plan,
  response: Dispatcher.ResponseData,
  meter: UsageMeter,
): Promise<() => void> {
  if ((response.headers["content-encoding"] ?? "identity") !== "identity") {
    response.body.on("error", () => {}).destroy();
    throw upstreamFault("upstream_unavailable", "the upstream compressed its response");
  }
  const assertNoSecret = (bytes: Buffer): void => {
    if (bytes.includes(upstream.secret)) throw upstreamFault("upstream_unavailable", "the upstream gave a secret away");
  };
  const headers = passedHeaders(response);
  if (!/^text\/event-stream\b/i.test(headers["content-type"] ?? "")) {
    const body = await readWhole(response, limits.maxResponseBytes);
    assertNoSecret(body);
    meter.body(jsonOf(body));
    return () => {
      client.begin(response.statusCode, headers);
      client.end(body);
    };
  }
  const frames = new EventFrames(limits.maxEventBytes);
  const events = new EventReader();
  const hidesUsage = route.streamsUsageOnRequest && !request.asksForUsage;
  client.begin(response.statusCode, headers);
  client.flush();
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    for (const frame of frames.push(chunk)) {
      assertNoSecret(frame);
      const isUsageAlone = events
        .read(frame)
        .map((event) => meter.event(event))
        .includes(true);
      if (!(isUsageAlone && hidesUsage)) await client.write(frame);
    }
  }
  meter.end();
  const rest = frames.rest();
  assertNoSecret(rest);
  return () => client.end(rest);
}

function passedHeaders(response: Dispatcher.ResponseData): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of PASSED_HEADERS) {
    const value = response.headers[name];
    if (typeof value === "string") passed[name] = value;
  }
  return passed;
}

async function readWhole(response: Dispatcher.ResponseData, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw upstreamFault("upstream_unavailable", "the upstream's response is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined; // It says nothing about its usage, so it is settled as an estimate.
  }
}

interface Settlement {
  readonly plan: Plan;
  readonly limit: number | undefined;
  readonly operation: Operation;
  readonly meter: UsageMeter;
  readonly fate: Fate;
}

/** Reports what the request has cost: what the upstream says, or else the most that it may have been. */
async function settleUsage(
  { logger }: ExchangeTools,
  asked: Asked,
  { plan, limit, operation, meter, fate }: Settlement,
): Promise<Omit<ExchangeResult, "status">> {
  const { quote } = plan;
  if (quote === undefined || fate !== "sent") return {};
  const usage = meter.final;
  const units = usage === undefined ? unsaidCost(asked, plan, limit, meter) : quote.price.costOf(usage);
  if (units === undefined) {
    logger.warn({ model: asked.request.model }, "a request of unknown cost, without a budget, was not counted");
    return {};
  }
  const { currency } = quote.price;
  const shown = usage === undefined ? undefined : shownUsage(usage);
  const estimated = usage === undefined ? { estimated: true as const } : {};
  const dimensions = { model: asked.request.model, ...shown, ...estimated };
  try {
    await operation.report({ name: "cost.inference", value: numberOf(units), unit: currency, dimensions });
  } catch (error) {
    // The counter is lowered all the same. A job that has ended hears of nothing any more.
    logger.warn({ err: error, key: asked.key.facts.alias }, "a cost could not be told");
  }
  return { ...(shown !== undefined && { usage: shown }), cost: decimalOf(units), currency, ...estimated };
}

/** The most that a request may have cost whose upstream did not come to say so. What it read, it may have said. */
function unsaidCost(asked: Asked, plan: Plan, limit: number | undefined, meter: UsageMeter): bigint | undefined {
  const { quote } = plan;
  const estimate = estimateOf(asked, plan, limit)?.units;
  const begun = asked.route.usage === "anthropic" ? meter.partial : undefined;
  if (quote === undefined || begun === undefined) return estimate;
  const output = Math.max(begun.output, asked.request.choices * (limit ?? quote.price.maxOutputTokens));
  return quote.price.costOf({ ...begun, output });
}
