/**
 * Globs over text cut at `/` (§9.2). A segment that is `**` stands for any number of segments, `*` within a segment for
 * any number of characters, a segment that is `*` for any one segment that is not empty; everything else for itself.
 * No pattern ever becomes a regular expression.
 */

const ANY_NUMBER = "**";

/** A character that occurs in no pattern: what matches it matches any. */
const ANY_CHARACTER = "\u0000";

interface Segment {
  /** Before the first star. */
  readonly first: string;
  /** Between the stars; some of it may be empty. */
  readonly middle: readonly string[];
  /** After the last star; undefined without stars. */
  readonly last: string | undefined;
  /** What it matches, with {@link ANY_CHARACTER} in place of each star. */
  readonly example: string;
}

/** A compiled pattern; {@link compileGlob} makes it. */
export interface Glob {
  readonly pattern: string;
  /** A `**` follows no other. */
  readonly segments: readonly (Segment | typeof ANY_NUMBER)[];
  /** Is there a `**` beside other characters? It matches as `*`; nothing is proven about it. */
  readonly hasGluedStars: boolean;
}

/** Compiles any text: there is no wrong glob. What a lease accepts as a pattern is narrower. */
export function compileGlob(pattern: string): Glob {
  const parts = pattern.split("/");
  const segments: (Segment | typeof ANY_NUMBER)[] = [];
  for (const part of parts) {
    if (part !== ANY_NUMBER) segments.push(compileSegment(part));
    else if (segments.at(-1) !== ANY_NUMBER) segments.push(ANY_NUMBER);
  }
  const hasGluedStars = parts.some((part) => part !== ANY_NUMBER && part.includes(ANY_NUMBER));
  return { pattern, segments, hasGluedStars };
}

function compileSegment(part: string): Segment {
  const firstStar = part.indexOf("*");
  const lastStar = part.lastIndexOf("*");
  const hasStars = firstStar !== -1;
  return {
    first: hasStars ? part.slice(0, firstStar) : part,
    middle: part.slice(firstStar, lastStar).split("*"),
    last: hasStars ? part.slice(lastStar + 1) : undefined,
    example: part.replaceAll(/\*+/g, ANY_CHARACTER),
  };
}

/**
 * Does all of `text` match? Takes at most as many steps as `text` and the pattern have segments, multiplied: a `**`
 * takes as few segments as it can, and only the last one met is ever asked to take one more.
 */
export function matchGlob(glob: Glob | string, text: string): boolean {
  const { segments } = typeof glob === "string" ? compileGlob(glob) : glob;
  const words = text.split("/");
  let position = 0;
  let index = 0;
  let resumeAt: { readonly position: number; index: number } | undefined;
  for (let word = words[index]; word !== undefined; word = words[index]) {
    const segment = segments[position];
    if (segment === ANY_NUMBER) {
      position += 1;
      resumeAt = { position, index };
    } else if (segment !== undefined && matchesSegment(segment, word)) {
      position += 1;
      index += 1;
    } else if (resumeAt === undefined) {
      return false;
    } else {
      resumeAt.index += 1;
      ({ position, index } = resumeAt);
    }
  }
  return segments.slice(position).every((segment) => segment === ANY_NUMBER);
}

/** Every piece is taken where it occurs first, which leaves the most to those that follow. */
function matchesSegment({ first, middle, last, example }: Segment, word: string): boolean {
  if (last === undefined) return word === first;
  if (example === ANY_CHARACTER) return word !== "";
  const end = word.length - last.length;
  if (!word.startsWith(first) || !word.endsWith(last)) return false;
  let from = first.length;
  for (const piece of middle) {
    const found = word.indexOf(piece, from);
    if (found === -1) return false;
    from = found + piece.length;
  }
  return from <= end;
}

/** What proving may still cost; when nothing is left there is no proof. Several proofs may share one. */
export interface ProofEffort {
  left: number;
}

/** The unit is one state and sixteen characters: enough for two leases of the greatest size that people would write. */
export const proofEffort = (): ProofEffort => ({ left: 250_000 });

/**
 * Is it proven that everything that `inner` matches is matched by `outer`? `mayHaveEmpty` says whether the texts in
 * question may have empty segments.
 *
 * `inner` is read by `outer`'s automaton with a character that no pattern contains in place of each `*`: only a star
 * can have matched that, and a star matches whatever else may stand there. Each `**` is read as such segments, none
 * and any number, until no new set of states comes up.
 */
export function globCovers(outer: Glob, inner: Glob, mayHaveEmpty: boolean, effort: ProofEffort): boolean {
  if (outer.pattern === inner.pattern) return true;
  if (outer.hasGluedStars || inner.hasGluedStars) return false;
  const pending = [{ position: 0, states: enter(outer, new Set(), 0) }];
  const seen = new Set<string>();
  for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
    const { position, states } = state;
    const key = `${position}:${[...states].join()}`;
    if (seen.has(key)) continue;
    seen.add(key);
    effort.left -= states.size;
    if (effort.left < 0) return false;
    const segment = inner.segments[position];
    if (segment === undefined) {
      if (!states.has(outer.segments.length)) return false;
    } else if (segment === ANY_NUMBER) {
      // An empty segment is one that only a `**` takes.
      const any = step(outer, states, mayHaveEmpty ? undefined : ANY_CHARACTER);
      pending.push({ position, states: any }, { position: position + 1, states });
    } else {
      effort.left -= states.size * (segment.example.length >> 4);
      pending.push({ position: position + 1, states: step(outer, states, segment.example) });
    }
  }
  return true;
}

/** The states after one more segment, in ascending order: `word`, or with undefined one that may be anything. */
function step(glob: Glob, states: ReadonlySet<number>, word: string | undefined): Set<number> {
  const next = new Set<number>();
  for (const state of states) {
    const segment = glob.segments[state];
    if (segment === ANY_NUMBER) enter(glob, next, state);
    else if (segment !== undefined && word !== undefined && matchesSegment(segment, word)) enter(glob, next, state + 1);
  }
  return next;
}

/** Adds `state` and, if a `**` may be taken for no segment there, the one behind it. */
function enter({ segments }: Glob, states: Set<number>, state: number): Set<number> {
  states.add(state);
  return segments[state] === ANY_NUMBER ? states.add(state + 1) : states;
}
