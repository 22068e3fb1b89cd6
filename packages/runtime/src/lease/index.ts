/**
 * `@arcp/runtime/lease`: the algebra of leases (section 9), for whoever shows or checks one and runs nothing. Pure
 * functions; what the package as a whole brings with it is not loaded.
 */
export { initialBudgetFromLease } from "../engine/lease/budget.ts";
export { isReservedCapabilityName, isValidCapabilityName } from "../engine/lease/capability.ts";
export { assertLeaseConstraintsSubset, validateLeaseConstraints } from "../engine/lease/constraints.ts";
export { compileGlob, type Glob, matchGlob } from "../engine/lease/glob.ts";
export { type LeaseOperationContext, validateLeaseOp } from "../engine/lease/operation.ts";
export { type LeaseShapeOptions, validateLeaseShape } from "../engine/lease/shape.ts";
export { assertLeaseSubset, isLeaseSubset, type LeaseSubsetOptions } from "../engine/lease/subset.ts";
export { canonicalizeTarget } from "../engine/lease/target.ts";
