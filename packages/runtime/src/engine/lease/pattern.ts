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
  /** An agent's version, or a URL's query and fragment, each with its sign. */
  readonly version?: Glob;
  readonly query?: Glob;
  readonly fragment?: Glob;
}

const MAX_PATTERN_SEGMENTS = 64;

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
  if (!isPrintable(text) || text.trim() !== text) throw refuse("a pattern is printable text");
  if (text.split("/").length > MAX_PATTERN_SEGMENTS) {
    throw refuse(`a pattern has at most ${MAX_PATTERN_SEGMENTS} segments`);
  }
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
    const { name, version } = splitAgent(text);
    return { main: compileGlob(name), ...(version !== "" && { version: whole(version) }) };
  },
  url(text) {
    const { origin, path, query, fragment } = splitUrl(text);
    // A wildcard in a host is its whole first label, with others to follow.
    if (FOREIGN_SYNTAX.test(path) || (origin.includes("*") && !/\/\/\*(?:\.[^.*]+)+$/.test(origin))) return undefined;
    return {
      main: compileGlob(path),
      origin: labels(origin),
      ...(query !== "" && { query: whole(query) }),
      ...(fragment !== "" && { fragment: whole(fragment) }),
    };
  },
};

function plain(text: string): Parts {
  return { main: compileGlob(text) };
}

/** `text` before `position` and from there on; -1 is the end. */
const cutAt = (text: string, position: number): readonly [string, string] =>
  position === -1 ? [text, ""] : [text.slice(0, position), text.slice(position)];

/** The version with its sign; empty without one. */
function splitAgent(text: string): { readonly name: string; readonly version: string } {
  const [name, version] = cutAt(text, text.indexOf("@"));
  return { name, version };
}

interface UrlParts {
  readonly origin: string;
  readonly path: string;
  /** With its sign; empty without one, and so is the fragment. */
  readonly query: string;
  readonly fragment: string;
}

function splitUrl(text: string): UrlParts {
  const [beforeFragment, fragment] = cutAt(text, text.indexOf("#"));
  const [address, query] = cutAt(beforeFragment, beforeFragment.indexOf("?"));
  const [origin, path] = cutAt(address, address.indexOf("/", address.indexOf("//") + 2));
  return { origin, path, query, fragment };
}

/** A star in a host stands for one label, so labels are what is separated. */
const labels = (origin: string): Glob => compileGlob(origin.replaceAll(".", "/"));
/** In a version, a query and a fragment nothing separates; two stars are as good as one. */
const whole = (part: string): Glob => compileGlob(unseparated(part).replaceAll(/\*+/g, "*"));
/** A slash is a character like others: another one stands for it, which is in no canonical URL. */
const unseparated = (part: string): string => part.replaceAll("/", "\\");

/** Would the pattern be a canonical target if its stars were letters? */
function isCanonical(capability: string, kind: TargetKind, text: string): boolean {
  if (kind === "text") return hasPlainSegments(text.replace(/^\//, ""));
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
export function matchesPattern({ kind, main, origin, version, query, fragment }: Pattern, target: string): boolean {
  if (kind === "agent") {
    const parts = splitAgent(target);
    return matchGlob(main, parts.name) && (version === undefined || matchGlob(version, parts.version));
  }
  if (origin === undefined) return matchGlob(main, target);
  const parts = splitUrl(target);
  return (
    matchGlob(origin, parts.origin.replaceAll(".", "/")) &&
    matchGlob(main, parts.path) &&
    (query === undefined || matchGlob(query, unseparated(parts.query))) &&
    (fragment === undefined || matchGlob(fragment, unseparated(parts.fragment)))
  );
}

/** Is it proven that `outer` matches every target that `inner` matches? Both are of one capability. */
export function patternCovers(outer: Pattern, inner: Pattern, effort: ProofEffort): boolean {
  // A URL may end in a slash, and a vendor's text may begin with one.
  const mayHaveEmpty = outer.kind === "url" || outer.kind === "text";
  return (
    globCovers(outer.main, inner.main, mayHaveEmpty, effort) &&
    partCovers(outer.origin, inner.origin, effort) &&
    partCovers(outer.version, inner.version, effort) &&
    partCovers(outer.query, inner.query, effort) &&
    partCovers(outer.fragment, inner.fragment, effort)
  );
}

/** Every target but the root and those with empty segments, and those of them that begin with a slash. */
const EVERYTHING = ["*/**", "/*/**"].map(compileGlob);

/** Does the pattern cover every target but perhaps the root? No URL pattern does: it names a host. */
export function isUnlimited({ kind, main, version }: Pattern): boolean {
  if (kind === "url" || version !== undefined) return false;
  return EVERYTHING.some((everything) => globCovers(main, everything, false, proofEffort()));
}

/** A part that is missing covers all; one that is there covers no missing one. */
const partCovers = (outer: Glob | undefined, inner: Glob | undefined, effort: ProofEffort): boolean =>
  outer === undefined || (inner !== undefined && globCovers(outer, inner, false, effort));
