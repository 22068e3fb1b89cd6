/** What does not belong into a log, wherever it stands. */

/** What is shown in the place of a secret. */
export const REDACTED = "[redacted]";

/** Members that hold secrets by their names, without regard to case, `_` and `-`. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  ...["authorization", "proxyauthorization", "cookie", "setcookie"],
  ...["password", "passwd", "passphrase", "secret", "clientsecret", "privatekey", "masterkey", "encryptionkey"],
  ...["token", "accesstoken", "refreshtoken", "idtoken", "resumetoken", "bearertoken", "bearer", "sessiontoken"],
  ...["apikey", "xapikey", "credential", "credentials"],
]);

/** Secrets by their form: credentials of HTTP, resume tokens, JWTs, keys of model vendors, user information of URLs. */
const SECRET_TEXTS: readonly (readonly [RegExp, string])[] = [
  [/\b(bearer|basic)[ \t]+[\w.~+/=-]{6,}/gi, `$1 ${REDACTED}`],
  [/\brt_[\w-]{16,}/g, REDACTED],
  [/\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*/g, REDACTED],
  [/\bsk-[\w-]{12,}/g, REDACTED],
  [/\b([a-z][a-z0-9+.-]{1,15}:\/\/)[^\s/?#@]{1,512}@/gi, `$1${REDACTED}@`],
];

/** Does a member of this name hold a secret? */
const isSecretName = (name: string): boolean => SECRET_NAMES.has(name.toLowerCase().replaceAll(/[_-]/g, ""));

/** `text` without what has the form of a secret. */
function redactText(text: string): string {
  let shown = text;
  for (const [form, replacement] of SECRET_TEXTS) shown = shown.replace(form, replacement);
  return shown;
}

/**
 * One JSON text of `record` without secrets: members with such names, and texts of such forms. Errors are their name,
 * message and stack. What cannot be written is said to be so: it never throws.
 */
export function redactedJson(record: Readonly<Record<string, unknown>>): string {
  try {
    return JSON.stringify(record, shown);
  } catch {
    // Cycles, or a getter that throws: the members that can be written are.
    return JSON.stringify(
      Object.fromEntries(Object.entries(record).map(([key, value]) => [key, writable(key, value)])),
    );
  }
}

function writable(key: string, value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify({ [key]: value }, shown))[key];
  } catch {
    return "cannot be written";
  }
}

function shown(name: string, value: unknown): unknown {
  if (typeof value === "string") return isSecretName(name) ? REDACTED : redactText(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (isSecretName(name)) return REDACTED;
  if (!(value instanceof Error)) return value;
  const { name: kind, message, stack, cause } = value;
  return { name: kind, message, stack, ...(cause !== undefined && { cause }) };
}
