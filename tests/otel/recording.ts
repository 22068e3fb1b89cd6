/** An OpenTelemetry SDK for tests: what was recorded, and who is below whom. */
import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

export class Recording implements AsyncDisposable {
  readonly #exporter = new InMemorySpanExporter();
  readonly #provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: this.#exporter })] });

  constructor() {
    trace.setGlobalTracerProvider(this.#provider);
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  }

  /** Those that have ended. */
  get spans(): readonly ReadableSpan[] {
    return this.#exporter.getFinishedSpans();
  }

  named(name: string): readonly ReadableSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  /** The frames of one type in one direction. */
  frames(direction: "in" | "out", type: string): readonly ReadableSpan[] {
    return this.spans.filter(
      ({ attributes }) => attributes["arcp.direction"] === direction && attributes["arcp.type"] === type,
    );
  }

  /** The names from the root of its trace down to `span`; `?` for a parent that was never recorded. */
  path(span: ReadableSpan | undefined): readonly string[] {
    if (span === undefined) return [];
    const { parentSpanContext: above } = span;
    if (above === undefined) return [span.name];
    const parent = this.spans.find((other) => other.spanContext().spanId === above.spanId);
    return [...(parent === undefined ? ["?"] : this.path(parent)), span.name];
  }

  /** Everything that was recorded, as text. */
  get text(): string {
    return JSON.stringify(
      this.spans.map((span) => [span.name, span.attributes, span.events, span.status, span.spanContext()]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    trace.disable();
    context.disable();
    propagation.disable();
    await this.#provider.shutdown();
  }
}
