/** What gateways' refusals mean, as stock clients throw them. */
import Anthropic from "@anthropic-ai/sdk";
import { type ARCPError, BudgetExhaustedError, LeaseExpiredError, PermissionDeniedError } from "@arcp/core";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { explainUpstreamRefusal } from "../../packages/runtime/src/provisioners/upstream-refusal.ts";
import { covers } from "../support/covers.ts";

type Kind = new (message: string) => ARCPError;

const thrownByOpenAI = (status: number, error: object): Error =>
  OpenAI.APIError.generate(status, { error }, undefined, new Headers());
const thrownByAnthropic = (status: number, error: object): Error =>
  Anthropic.APIError.generate(status, { type: "error", error }, undefined, new Headers());

const exceeded = "Budget has been exceeded! Current cost: 0.0002, Max budget: 0.0001";
const tokenBudget = "Authentication Error, ExceededTokenBudget: Current spend for token: 2; Max Budget for Token: 1";
const notAllowed = "key not allowed to access model. This key can only access models=['a']. Tried to access b";
const expired = "Authentication Error - Expired Key. Key Expiry time 2026-01-01 and current time 2026-01-02";

test.each<[string, number, object, Kind]>([
  ["budget", 400, { message: exceeded, type: "budget_exceeded", param: null, code: "400" }, BudgetExhaustedError],
  ["budget, newer", 429, { message: "over", type: "budget_exceeded", param: null, code: "429" }, BudgetExhaustedError],
  ["budget, older", 400, { message: exceeded, type: "auth_error", param: null, code: 400 }, BudgetExhaustedError],
  ["budget of a token", 401, { message: tokenBudget, type: "auth_error", code: "401" }, BudgetExhaustedError],
  ["end user", 400, { message: "ExceededBudget: End User=x over budget. Spend=2, Budget=1" }, BudgetExhaustedError],
  ["model", 401, { message: notAllowed, type: "key_model_access_denied", param: "model" }, PermissionDeniedError],
  ["model, newer", 403, { message: "", type: "key_model_access_denied", code: "403" }, PermissionDeniedError],
  ["model of a team", 401, { message: "", type: "team_model_access_denied" }, PermissionDeniedError],
  ["model, by message", 401, { message: notAllowed, type: "auth_error" }, PermissionDeniedError],
  ["expiry", 401, { message: expired, type: "expired_key", param: "sk-...1234", code: "401" }, LeaseExpiredError],
  ["expiry, older", 400, { message: expired, type: "ProxyException" }, LeaseExpiredError],
])("LiteLLM: %s", (_, status, body, kind) => {
  covers("V11-9.6-13", "V11-9.7-04");
  for (const thrown of [thrownByOpenAI(status, body), thrownByAnthropic(status, body)]) {
    const explained = explainUpstreamRefusal(thrown);
    expect(explained).toBeInstanceOf(kind);
    expect(explained?.cause).toBe(thrown);
    expect(explained?.details).toMatchObject({ upstream: { status } });
    // A message may hold a key's digest.
    expect(JSON.stringify(explained?.toWire())).not.toMatch(/Tried to access|Current cost|Spend=|sk-/);
    expect(explainUpstreamRefusal(new Error("the model failed", { cause: thrown }))).toBeInstanceOf(kind);
  }
});

test("this gateway's own errors are what they were", () => {
  const arcp = { code: "BUDGET_EXHAUSTED", message: "used up", retryable: false, details: { currency: "USD" } };
  for (const thrown of [thrownByOpenAI(402, { message: "x", arcp }), thrownByAnthropic(402, { message: "x", arcp })]) {
    const explained = explainUpstreamRefusal(thrown);
    expect(explained).toBeInstanceOf(BudgetExhaustedError);
    expect(explained?.toWire()).toEqual(arcp);
  }
});

test.each<[string, unknown]>([
  ["nothing", undefined],
  ["text", "Budget has been exceeded!"],
  ["an error without a status", new Error("Budget has been exceeded!")],
  [
    "a limit of rates",
    thrownByOpenAI(429, { message: "Rate limit reached", type: "requests", code: "rate_limit_exceeded" }),
  ],
  [
    "a vendor's own quota",
    thrownByOpenAI(429, { message: "quota", type: "insufficient_quota", code: "insufficient_quota" }),
  ],
  ["a wrong key", thrownByOpenAI(401, { message: "Incorrect API key provided", code: "invalid_api_key" })],
  ["a blocked key", thrownByOpenAI(401, { message: "Key is blocked.", type: "auth_error" })],
  ["a fault of the upstream", thrownByOpenAI(500, { message: "Budget has been exceeded!" })],
  [
    "another of this gateway's",
    thrownByOpenAI(401, { arcp: { code: "UNAUTHENTICATED", message: "", retryable: false } }),
  ],
  ["a payload that is none", thrownByOpenAI(402, { message: "", arcp: { code: "BUDGET_EXHAUSTED", message: 5 } })],
])("%s is no such refusal", (_, thrown) => {
  expect(explainUpstreamRefusal(thrown)).toBeUndefined();
});

test("a circle of causes has an end", () => {
  const error = new Error("round");
  error.cause = error;
  expect(explainUpstreamRefusal(error)).toBeUndefined();
});
