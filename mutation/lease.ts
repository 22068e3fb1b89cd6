/** What the runtime exports of the lease algebra, without the rest of the runtime. */
export * from "../packages/runtime/src/engine/lease/budget.ts";
export * from "../packages/runtime/src/engine/lease/capability.ts";
export * from "../packages/runtime/src/engine/lease/constraints.ts";
export * from "../packages/runtime/src/engine/lease/glob.ts";
export * from "../packages/runtime/src/engine/lease/operation.ts";
export * from "../packages/runtime/src/engine/lease/shape.ts";
export * from "../packages/runtime/src/engine/lease/subset.ts";
export * from "../packages/runtime/src/engine/lease/target.ts";
