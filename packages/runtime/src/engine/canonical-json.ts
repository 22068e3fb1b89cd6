import { createHash } from "node:crypto";
import { canonicalJson } from "../store/canonical-json.ts";

/** SHA-256 of the canonical JSON, hexadecimal. */
export const digestOf = (value: unknown): string => createHash("sha256").update(canonicalJson(value)).digest("hex");
