import { ForwardingTransport, type Transport } from "@arcp/core";
import {
  type Context,
  context,
  isSpanContextValid,
  ProxyTracer,
  ProxyTracerProvider,
  type Span,
  SpanKind,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { carriedIn, injected, saidIn, type Wire } from "./carried-context.ts";
import { attributesOf, isWorthTracing, readFrame, statusOf, type TracedFrame } from "./frame.ts";
import { Places } from "./places.ts";

/** How {@link withTracing} makes its spans. */
export interface WithTracingOptions {
  /** Default: that of the registered provider, by the name of this package. */
  readonly tracer?: Tracer;
  /** Default: `arcp.send`. */
  readonly sendSpanName?: (frame: TracedFrame) => string;
  /** Default: `arcp.recv`. */
  readonly recvSpanName?: (frame: TracedFrame) => string;
  /** Which frames have spans, and carry context. Default: all but signs of life and acknowledgements. */
  readonly isTraced?: (frame: TracedFrame) => boolean;
}

const TRACER_NAME = "@arcp/middleware-otel";

/**
 * A transport with a span for each frame that `transport` carries (§11): `arcp.send` and `arcp.recv`. What is sent carries
 * the span's W3C trace context in its extensions; what is received is handed on within its span, which lies below the
 * one that it was sent in. Names and bounds are told in attributes; contents, tokens and principals are not.
 *
 * Frames without a context of their own belong to the request that they answer, or to the job that they are of. While no
 * tracer provider is registered, frames pass as they are. Binary frames always do. The transport stays its owner's:
 * closing either closes both.
 */
export function withTracing(transport: Transport, options: WithTracingOptions = {}): Transport {
  return new TracingTransport(transport, options);
}

class TracingTransport extends ForwardingTransport {
  readonly #given: Tracer | undefined;
  readonly #sendName: (frame: TracedFrame) => string;
  readonly #recvName: (frame: TracedFrame) => string;
  readonly #isTraced: (frame: TracedFrame) => boolean;
  readonly #places = new Places();
  #wire: Wire = "1.1";

  constructor(inner: Transport, options: WithTracingOptions) {
    super(inner);
    this.#given = options.tracer;
    this.#sendName = options.sendSpanName ?? (() => "arcp.send");
    this.#recvName = options.recvSpanName ?? (() => "arcp.recv");
    this.#isTraced = options.isTraced ?? isWorthTracing;
  }

  override send(text: string): void {
    const frame = this.#look(text);
    if (frame === undefined) {
      this.inner.send(text);
      return;
    }
    const { span, place } = this.#start(frame, this.#sendName(frame), "out");
    const spanContext = span.spanContext();
    this.inner.send(isSpanContextValid(spanContext) ? injected(text, frame, spanContext, this.#wire) : text);
    this.#places.passed(frame, place);
    span.end();
  }

  override onFrame(handler: (frame: string) => void): void {
    this.inner.onFrame((text) => {
      const frame = this.#look(text);
      if (frame === undefined) {
        handler(text);
        return;
      }
      const { span, place } = this.#start(frame, this.#recvName(frame), "in");
      this.#places.passed(frame, place);
      try {
        context.with(place, () => handler(text));
      } finally {
        span.end();
      }
    });
  }

  /** The message, if there is to be a span of it. */
  #look(text: string): TracedFrame | undefined {
    if (!this.#isRecording()) return undefined;
    const frame = readFrame(text);
    if (frame?.type === "session.open") this.#wire = "1.0";
    return frame !== undefined && this.#isTraced(frame) ? frame : undefined;
  }

  /** A tracer that waits for a provider records nothing. */
  #isRecording(): boolean {
    if (this.#given !== undefined && !(this.#given instanceof ProxyTracer)) return true;
    const provider = trace.getTracerProvider();
    return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer(TRACER_NAME) !== undefined;
  }

  #start(frame: TracedFrame, name: string, direction: "in" | "out"): { readonly span: Span; readonly place: Context } {
    const parent = carriedIn(frame) ?? this.#places.of(frame) ?? saidIn(frame) ?? context.active();
    const tracer = this.#given ?? trace.getTracer(TRACER_NAME);
    const kind = direction === "out" ? SpanKind.PRODUCER : SpanKind.CONSUMER;
    const span = tracer.startSpan(name, { kind, attributes: attributesOf(frame, direction) }, parent);
    const status = statusOf(frame);
    if (status !== undefined) span.setStatus(status);
    return { span, place: trace.setSpan(parent, span) };
  }
}
