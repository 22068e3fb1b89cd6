/** What model gateways mean by their refusals, in the terms of §12 (§9.6, §9.7). */
import {
  type ARCPError,
  BudgetExhaustedError,
  type ErrorPayload,
  errorFromWire,
  LeaseExpiredError,
  PermissionDeniedError,
} from "@arcp/core";

type Members = Readonly<Record<string, unknown>>;

/** What a client library's error holds of a response. */
interface Refusal {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly message: string;
  /** The error as ARCP says it, where the gateway is one of ours. */
  readonly arcp: Members | undefined;
}

const MAX_CAUSES = 4;
const OWN_CODES = new Set(["BUDGET_EXHAUSTED", "PERMISSION_DENIED", "LEASE_EXPIRED"]);

interface Meaning {
  readonly words: ReadonlySet<string>;
  readonly message: RegExp;
  readonly error: (facts: Members, cause: unknown) => ARCPError;
}

/** By `type` or `code`, and by message for gateways that leave these empty. */
const MEANINGS: readonly Meaning[] = [
  {
    words: new Set(["BUDGET_EXHAUSTED", "budget_exceeded"]),
    message: /\bBudget has been exceeded\b|\bExceeded(?:Token)?Budget\b|\bover budget\. Spend=/,
    error: (details, cause) =>
      new BudgetExhaustedError("the upstream says that the budget is used up", { details, cause }),
  },
  {
    words: new Set(["LEASE_EXPIRED", "expired_key"]),
    message: /\bExpired Key\b/,
    error: (details, cause) =>
      new LeaseExpiredError("the upstream says that the credential has expired", { details, cause }),
  },
  {
    words: new Set(
      "PERMISSION_DENIED model_not_permitted"
        .split(" ")
        .concat(["key", "team", "user", "org", "project"].map((owner) => `${owner}_model_access_denied`)),
    ),
    message: /\bnot allowed to access model\b/,
    error: (details, cause) => new PermissionDeniedError("the upstream does not permit the model", { details, cause }),
  },
];

/**
 * What an error thrown by a stock OpenAI or Anthropic client means, if it is a refusal of a budget, a model or an expired
 * credential by this project's gateway or by LiteLLM; undefined for every other error, such as a limit of rates. Looks
 * through a few causes. Nothing of the upstream's message is repeated: it may hold a key's digest.
 */
export function explainUpstreamRefusal(error: unknown): ARCPError | undefined {
  let cause = error;
  for (let depth = 0; depth < MAX_CAUSES && isObject(cause); depth += 1) {
    const explained = meaningOf(cause, error);
    if (explained !== undefined) return explained;
    cause = cause["cause"];
  }
  return undefined;
}

function meaningOf(thrown: Members, cause: unknown): ARCPError | undefined {
  const refusal = refusalOf(thrown);
  if (refusal === undefined) return undefined;
  const { status, type, code, message, arcp } = refusal;
  if (arcp !== undefined && isPayload(arcp) && OWN_CODES.has(arcp.code)) return errorFromWire(arcp);
  const meaning = MEANINGS.find(
    ({ words, message: pattern }) => words.has(type) || words.has(code) || pattern.test(message),
  );
  const facts = { status, ...(type !== "" && { type }), ...(code !== "" && { code }) };
  return meaning?.error({ upstream: facts }, cause);
}

/** OpenAI's client holds the inner error, Anthropic's the whole body; both have the status. */
function refusalOf(thrown: Members): Refusal | undefined {
  const { status } = thrown;
  if (typeof status !== "number" || status < 400 || status > 499) return undefined;
  const outer = isObject(thrown["error"]) ? thrown["error"] : {};
  const inner = isObject(outer["error"]) ? outer["error"] : outer;
  const text = (name: string): string => {
    const value = inner[name] ?? thrown[name];
    return typeof value === "string" ? value.slice(0, 4096) : "";
  };
  return {
    status,
    type: text("type").slice(0, 64),
    code: text("code").slice(0, 64),
    message: text("message"),
    arcp: isObject(inner["arcp"]) ? inner["arcp"] : undefined,
  };
}

const isPayload = (value: Members): value is Members & ErrorPayload =>
  typeof value["code"] === "string" &&
  typeof value["message"] === "string" &&
  typeof value["retryable"] === "boolean" &&
  (value["details"] === undefined || isObject(value["details"]));

const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);
