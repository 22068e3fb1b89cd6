/** The patterns of each capability (§9.2): which are accepted, what they match, and which of them cover which. */
import { InvalidRequestError } from "@arcp/core";
import { kindOf, type TargetKind } from "./capability.ts";
import { compileGlob, type Glob, globCovers, matchGlob, type ProofEffort, proofEffort } from "./glob.ts";
import { canonicalizeTarget, hasPlainSegments, isPrintable } from "./target.ts";

/** A pattern in parts that are compared each on its own; a part that is missing asks for nothing. */
export interface Pattern {
  readonly kind: TargetKind;
  readonly text: string;
  /** Path, name, agent's name, or a URL's path. */
  readonly main: Glob;
  /** A URL's scheme, host and port, the dots and slashes of which all separate. */
  readonly origin?: Glob;
  /** An agent's version, or a URL's query and fragment with their signs. */
  readonly version?: Glob;
  readonly query?: Glob;
  readonly fragment?: Glob;
}

/** Constructs of other glob dialects. A lone parenthesis or plus sign is a character. */
const FOREIGN_SYNTAX = /[{}[\]|]|[!+@?*]\(/;

/**
 * Compiles `text` as a pattern of `capability`, which is a valid name.
 *
 * @throws InvalidRequestError unless it is spelt as the targets that it matches are.
 */
export function compilePattern(capability: string, text: string): Pattern {
  const kind = kindOf(capability);
  const refuse = (reason: string): InvalidRequestError =>
    new InvalidRequestError(`${capability}: ${reason}`, { details: { capability, pattern: text.slice(0, 256) } });
  if (kind === undefined || kind === "amount") throw refuse("has no patterns that match targets");
  if (!isPrintable(text) || text.trim() !== text || text === "") throw refuse("a pattern is printable text");
  if (kind !== "url" && (FOREIGN_SYNTAX.test(text) || text.includes("?"))) {
    throw refuse("the only wildcards are * and **");
  }
  const pattern = PARTS[kind](text);
  if (pattern === undefined || !isCanonical(capability, kind, text)) {
    throw refuse(`not a canonical ${kind} pattern`);
  }
  return { kind, text, ...pattern };
}

/** {@link compilePattern} of text that may be no pattern: undefined then, which matches and covers nothing. */
export function patternOf(capability: string, text: string): Pattern | undefined {
  try {
    return compilePattern(capability, text);
  } catch (error) {
    if (error instanceof InvalidRequestError) return undefined;
    throw error;
  }
}

type Parts = Omit<Pattern, "kind" | "text">;

const PARTS: { readonly [Kind in TargetKind]: (text: string) => Parts | undefined } = {
  path: plain,
  name: plain,
  text: plain,
  agent(text) {
    const [name = "", version, ...more] = text.split("@");
    if (more.length > 0 || !/^[a-z0-9*][a-z0-9._*-]*$/.test(name)) return undefined;
    if (version === undefined) return plain(name);
    if (!/^[a-zA-Z0-9.+_*-]+$/.test(version)) return undefined;
    return { main: compileGlob(name), version: compileGlob(version) };
  },
  url(text) {
    const parts = splitUrl(text);
    if (parts === undefined || FOREIGN_SYNTAX.test(parts.path)) return undefined;
    const { origin, path, query, fragment } = parts;
    // A wildcard in a host is its whole first label, with others to follow.
    if (/\*/.test(origin) && !/^https?:\/\/\*(?:\.[^.*]+)+$/.test(origin)) return undefined;
    if (query === "?" || fragment === "#") return undefined;
    return {
      main: compileGlob(path),
      origin: labels(origin),
      ...(query !== undefined && { query: whole(query) }),
      ...(fragment !== undefined && { fragment: whole(fragment) }),
    };
  },
};

function plain(text: string): Parts {
  return { main: compileGlob(text) };
}

interface UrlParts {
  readonly origin: string;
  readonly path: string;
  readonly query: string | undefined;
  readonly fragment: string | undefined;
}

function splitUrl(text: string): UrlParts | undefined {
  const [, origin, path, query, fragment] = /^(https?:\/\/[^/?#]+)(\/[^?#]*)(\?[^#]*)?(#.*)?$/.exec(text) ?? [];
  return origin === undefined || path === undefined ? undefined : { origin, path, query, fragment };
}

/** A star in a host stands for one label, so labels are what is separated. */
const labels = (origin: string): Glob => compileGlob(origin.replaceAll(".", "/"));
/** In a query and a fragment nothing separates; two stars are as good as one. */
const whole = (part: string): Glob => compileGlob(unseparated(part).replaceAll(/\*+/g, "*"));
/** A slash is a character like others: another one stands for it, which is in no canonical URL. */
const unseparated = (part: string): string => part.replaceAll("/", "\\");

/** Would the pattern be a canonical target if its stars were letters? */
function isCanonical(capability: string, kind: TargetKind, text: string): boolean {
  if (kind === "text") return hasPlainSegments(text.replace(/^\/(?=.)/, ""));
  // A digit could make a number of a host, and a letter an escape of a percent sign.
  if (/%\*|%.\*/.test(text)) return false;
  const example = text.replaceAll("*", "x");
  try {
    return canonicalizeTarget(capability, example) === example;
  } catch {
    return false; // Refused as a target, so of no use as a pattern: the caller says so.
  }
}

/** Does `pattern` match `target`, which {@link canonicalizeTarget} has returned? */
export function matchesPattern(pattern: Pattern, target: string): boolean {
  if (pattern.kind === "agent") {
    const [name = "", version] = target.split("@");
    if (!matchGlob(pattern.main, name)) return false;
    return pattern.version === undefined || (version !== undefined && matchGlob(pattern.version, version));
  }
  if (pattern.kind !== "url" || pattern.origin === undefined) return matchGlob(pattern.main, target);
  const parts = splitUrl(target);
  return (
    parts !== undefined &&
    matchGlob(pattern.origin, parts.origin.replaceAll(".", "/")) &&
    matchGlob(pattern.main, parts.path) &&
    (pattern.query === undefined || matchGlob(pattern.query, unseparated(parts.query ?? ""))) &&
    (pattern.fragment === undefined || matchGlob(pattern.fragment, unseparated(parts.fragment ?? "")))
  );
}

/** Is it proven that `outer` matches every target that `inner` matches? Both are of one capability. */
export function patternCovers(outer: Pattern, inner: Pattern, effort: ProofEffort): boolean {
  // A URL may end in a slash, and a vendor's text may begin with one.
  const mayHaveEmpty = outer.kind === "url" || outer.kind === "text";
  return (
    outer.kind === inner.kind &&
    globCovers(outer.main, inner.main, mayHaveEmpty, effort) &&
    partCovers(outer.origin, inner.origin, effort) &&
    partCovers(outer.version, inner.version, effort) &&
    partCovers(outer.query, inner.query, effort) &&
    partCovers(outer.fragment, inner.fragment, effort)
  );
}

/** Does the pattern cover every target but perhaps the root? No URL pattern does: it names a host. */
export function isUnlimited({ kind, main, version }: Pattern): boolean {
  if (kind === "url" || version !== undefined) return false;
  return ["**", "/**", "/**/*"].some((everything) => globCovers(main, compileGlob(everything), false, proofEffort()));
}

/** A part that is missing covers all; one that is there covers no missing one. */
const partCovers = (outer: Glob | undefined, inner: Glob | undefined, effort: ProofEffort): boolean =>
  outer === undefined || (inner !== undefined && globCovers(outer, inner, false, effort));
