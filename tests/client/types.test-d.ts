import type {
  ARCPClient,
  JobEvent,
  JobEventOf,
  JobHandle,
  JobPage,
  JobResult,
  JobSubscription,
  ResumeInfo,
  WelcomePayload,
} from "@arcp/client";
import type { EventKind, Transport } from "@arcp/core";
import { expectTypeOf, test } from "vitest";

test("the client's methods are those of the contract", () => {
  expectTypeOf<ARCPClient["connect"]>().toBeCallableWith({} as Transport);
  expectTypeOf<ARCPClient["connect"]>().returns.resolves.toEqualTypeOf<WelcomePayload>();
  expectTypeOf<ARCPClient["resume"]>().toBeCallableWith({} as Transport, {} as ResumeInfo);
  expectTypeOf<ARCPClient["resume"]>().returns.resolves.toEqualTypeOf<WelcomePayload>();
  expectTypeOf<ARCPClient["submit"]>().toBeCallableWith({ agent: "a" });
  expectTypeOf<ARCPClient["submit"]>().returns.resolves.toEqualTypeOf<JobHandle>();
  expectTypeOf<ARCPClient["subscribe"]>().toBeCallableWith("job_1");
  expectTypeOf<ARCPClient["subscribe"]>().returns.resolves.toEqualTypeOf<JobSubscription>();
  expectTypeOf<ARCPClient["listJobs"]>().toBeCallableWith({ status: "running" });
  expectTypeOf<ARCPClient["listJobs"]>().returns.resolves.toEqualTypeOf<JobPage>();
  expectTypeOf<ARCPClient["cancelJob"]>().toBeCallableWith("job_1");
  expectTypeOf<ARCPClient["ack"]>().toBeCallableWith(1);
  expectTypeOf<JobHandle["done"]>().resolves.toEqualTypeOf<JobResult>();
});

test("events are told apart by their kind", () => {
  expectTypeOf<JobEvent["kind"]>().toEqualTypeOf<EventKind | "vendor">();
  expectTypeOf<JobEventOf<"log">["body"]["message"]>().toEqualTypeOf<string>();
  expectTypeOf<JobEventOf<"progress">["body"]["total"]>().toEqualTypeOf<number | undefined>();
  expectTypeOf<JobEventOf<"vendor">["body"]>().toEqualTypeOf<unknown>();
  const read = (event: JobEvent): string => {
    if (event.kind === "vendor") return event.name;
    if (event.kind === "metric") return `${event.body.name}: ${event.body.value.toFixed(1)}`;
    return event.kind;
  };
  expectTypeOf(read).returns.toEqualTypeOf<string>();
});
