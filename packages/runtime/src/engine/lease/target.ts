/**
 * The one spelling of what an operation is about (§9.2): what is checked is what is used. A target that is not of its
 * kind at all is an {@link InvalidRequestError}; one that no pattern may ever grant, a {@link PermissionDeniedError}.
 */
import { AGENT_REFERENCE, InvalidRequestError, PermissionDeniedError } from "@arcp/core";
import { kindOf, type TargetKind } from "./capability.ts";

const MAX_TARGET_LENGTH = 4096;

const MAX_TARGET_SEGMENTS = 256;

/** Control characters, characters that turn the reading direction, line separators. */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/u;

export const isPrintable = (text: string): boolean => !UNPRINTABLE.test(text) && text.isWellFormed();

/**
 * `target` as the lease compares it: paths without `.`, `..` and repeated slashes, URLs as a browser reads them with
 * the default port left out, names as they are.
 *
 * @throws InvalidRequestError for a target that is not of the capability's kind, or for no capability.
 * @throws PermissionDeniedError for a URL or name that no pattern may grant.
 */
export function canonicalizeTarget(capability: string, target: unknown): string {
  const kind = kindOf(capability);
  if (kind === undefined || kind === "amount") throw malformed(`${capability.slice(0, 128)} is about no target`);
  if (typeof target !== "string") throw malformed("a target is a string");
  if (target === "" || target.length > MAX_TARGET_LENGTH) {
    throw malformed(`a target has 1 to ${MAX_TARGET_LENGTH} characters`);
  }
  // Matching takes as many steps as pattern and target have segments, multiplied.
  if (target.split("/").length > MAX_TARGET_SEGMENTS) {
    throw malformed(`a target has at most ${MAX_TARGET_SEGMENTS} segments`);
  }
  return CANONICAL[kind](target);
}

const CANONICAL: { readonly [Kind in TargetKind]: (target: string) => string } = {
  path: canonicalPath,
  url: canonicalUrl,
  name: canonicalName,
  agent: canonicalAgent,
  text: canonicalText,
};

const malformed = (message: string): InvalidRequestError => new InvalidRequestError(message);
const refused = (message: string): PermissionDeniedError => new PermissionDeniedError(message);

function canonicalPath(path: string): string {
  if (!isPrintable(path)) throw malformed("a path has no control or direction characters");
  if (path.includes("\\")) throw malformed("a path is separated by slashes, not backslashes");
  if (/%[0-9a-f]{2}/i.test(path)) throw malformed("a path is not percent-encoded");
  if (!path.startsWith("/") || path.startsWith("//")) throw malformed("a path is absolute and begins with one slash");
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    if (segment === "" || segment === "." || segment === "..") continue;
    if (segments.length === 0 && /^[A-Za-z]:$/.test(segment)) throw malformed("a path names no drive");
    segments.push(segment);
  }
  return `/${segments.join("/")}`;
}

const HOST = /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])$/;

function canonicalUrl(text: string): string {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(text)?.[0].toLowerCase();
  if (scheme === undefined) throw malformed("not a URL");
  if (scheme !== "http:" && scheme !== "https:") throw refused("only http and https URLs can be granted");
  if (!isPrintable(text) || /[\s\\]/.test(text))
    throw refused("a URL has no spaces, backslashes or control characters");
  const start = /^https?:\/\/[^/?#]+/i.exec(text)?.[0];
  if (start === undefined) throw malformed("a URL names a host");
  const authority = start.slice(`${scheme}//`.length);
  if (authority.includes("@")) throw malformed("a URL carries no user information");
  const url = URL.parse(text);
  if (url === null) throw malformed("not a URL");
  const host = authority.replace(/:\d*$/, "").toLowerCase();
  // A host is spelt as it is looked up: no escapes, no other alphabets, no numbers in place of an address.
  if (!HOST.test(host) || host !== url.hostname) throw refused("the host of a URL is spelt canonically, in ASCII");
  assertPlainUrlPath(text.slice(start.length).replace(/[?#].*/, ""));
  return `${url.origin}${withOneSpelling(url.pathname)}${url.search}${url.hash}`;
}

/** `path` as it was written, before the parser folded it. */
function assertPlainUrlPath(path: string): void {
  if (path.includes("//")) throw refused("a URL path has no empty segments");
  for (const segment of path.split("/")) {
    if (/%(?:2e|2f|5c|25[0-9a-f]{2})/i.test(segment)) throw refused("a URL path has no encoded dots or separators");
    if (/^\.\.?(?:;|$)/.test(segment)) throw refused("a URL path has no dot segments");
    if (!isDecodable(segment)) throw refused("a URL path is encoded as UTF-8 without control characters");
  }
}

/** Letters, digits and marks as themselves, and other escapes in upper case. */
const withOneSpelling = (path: string): string =>
  path.replace(/%[0-9a-f]{2}/gi, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return /[A-Za-z0-9_~-]/.test(character) ? character : encoded.toUpperCase();
  });

function isDecodable(segment: string): boolean {
  try {
    return isPrintable(decodeURIComponent(segment));
  } catch {
    return false; // Not UTF-8, or a percent sign that begins no escape: the caller refuses it.
  }
}

const NAME = /^[A-Za-z0-9._:@/-]+$/;

/** Is every segment of `name` something other than nothing and dots? */
export const hasPlainSegments = (name: string): boolean =>
  name.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");

function canonicalName(name: string): string {
  if (!NAME.test(name) || !hasPlainSegments(name)) {
    throw refused("a name has letters, digits and . _ : @ / -, and no empty or dot segments");
  }
  return name;
}

const MAX_AGENT_LENGTH = 512;

function canonicalAgent(reference: string): string {
  if (reference.length > MAX_AGENT_LENGTH || !AGENT_REFERENCE.test(reference)) {
    throw malformed("an agent is named as name or name@version (§7.5)");
  }
  return reference;
}

function canonicalText(text: string): string {
  if (!isPrintable(text)) throw malformed("a target has no control or direction characters");
  return text;
}
