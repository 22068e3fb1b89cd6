/** An OTLP receiver (HTTP, JSON) in this process: what exporters send, kept as it came. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** A span, as far as it is drawn. */
export interface ReceivedSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** Nanoseconds since the epoch. */
  readonly startedAt: bigint;
  readonly endedAt: bigint;
  readonly attributes: ReadonlyMap<string, string>;
  readonly isError: boolean;
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface Resource {
  readonly attributes?: readonly Attribute[];
}

interface WireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly Attribute[];
  readonly status?: { readonly code?: number };
}

interface TraceRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: Resource;
    readonly scopeSpans?: readonly { readonly spans?: readonly WireSpan[] }[];
  }[];
}

interface MetricsRequest {
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics?: readonly { readonly metrics?: readonly { readonly name: string }[] }[];
  }[];
}

/** A line of a log. */
export interface ReceivedLog {
  readonly service: string;
  readonly severity: string;
  readonly body: string;
  /** Empty if it belongs to none. */
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: ReadonlyMap<string, string>;
}

interface LogsRequest {
  readonly resourceLogs?: readonly {
    readonly resource?: Resource;
    readonly scopeLogs?: readonly {
      readonly logRecords?: readonly {
        readonly severityText?: string;
        readonly body?: Readonly<Record<string, unknown>>;
        readonly traceId?: string;
        readonly spanId?: string;
        readonly attributes?: readonly Attribute[];
      }[];
    }[];
  }[];
}

const STATUS_ERROR = 2;
/** Pages of any origin may send spans: they are told nothing. */
const FOR_PAGES = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };

export class OtlpReceiver implements AsyncDisposable {
  readonly #server: Server;
  /** In the order in which they came. */
  readonly spans: ReceivedSpan[] = [];
  readonly metricNames = new Set<string>();
  readonly logs: ReceivedLog[] = [];
  /** Everything that was sent, as text. */
  readonly bodies: string[] = [];

  private constructor() {
    this.#server = createServer((request, response) => {
      text(request).then(
        (body) => {
          // A page asks first whether it may.
          const isTaken =
            request.method === "OPTIONS" || (request.method === "POST" && this.#take(request.url ?? "", body));
          response.writeHead(isTaken ? 200 : 400, { "content-type": "application/json", ...FOR_PAGES }).end("{}");
        },
        () => response.destroy(), // The exporter tries again.
      );
    });
  }

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Returns false for what is none of OTLP. */
  #take(path: string, body: string): boolean {
    this.bodies.push(body);
    try {
      if (path === "/v1/traces") this.spans.push(...spansOf(JSON.parse(body) as TraceRequest));
      else if (path === "/v1/logs") this.logs.push(...logsOf(JSON.parse(body) as LogsRequest));
      else if (path === "/v1/metrics") {
        for (const name of metricsOf(JSON.parse(body) as MetricsRequest)) this.metricNames.add(name);
      } else return false;
      return true;
    } catch {
      return false; // The sender is told.
    }
  }
}

function* spansOf({ resourceSpans = [] }: TraceRequest): Iterable<ReceivedSpan> {
  for (const { resource, scopeSpans = [] } of resourceSpans) {
    const service = textsOf(resource?.attributes).get("service.name") ?? "?";
    for (const { spans = [] } of scopeSpans) {
      for (const { traceId, spanId, parentSpanId = "", name, attributes, status, ...times } of spans) {
        yield {
          ...{ service, traceId, spanId, parentSpanId, name, attributes: textsOf(attributes) },
          ...{ startedAt: BigInt(times.startTimeUnixNano), endedAt: BigInt(times.endTimeUnixNano) },
          isError: status?.code === STATUS_ERROR,
        };
      }
    }
  }
}

function* logsOf({ resourceLogs = [] }: LogsRequest): Iterable<ReceivedLog> {
  for (const { resource, scopeLogs = [] } of resourceLogs) {
    const service = textsOf(resource?.attributes).get("service.name") ?? "?";
    for (const { logRecords = [] } of scopeLogs) {
      for (const { severityText = "", body = {}, traceId = "", spanId = "", attributes } of logRecords) {
        const text = String(Object.values(body)[0] ?? "");
        yield { service, severity: severityText, body: text, traceId, spanId, attributes: textsOf(attributes) };
      }
    }
  }
}

function* metricsOf({ resourceMetrics = [] }: MetricsRequest): Iterable<string> {
  for (const { scopeMetrics = [] } of resourceMetrics) {
    for (const { metrics = [] } of scopeMetrics) for (const { name } of metrics) yield name;
  }
}

const textsOf = (attributes: readonly Attribute[] = []): ReadonlyMap<string, string> =>
  new Map(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]));
