/**
 * Globs over text cut at `/` (§9.2). A segment that is `**` stands for any number of segments, `*` within a segment for
 * any number of characters, a segment that is `*` for any one segment that is not empty; everything else for itself.
 * No pattern ever becomes a regular expression.
 */

const ANY_NUMBER = "**";

/** A segment without stars has one piece; n stars stand between n + 1 pieces. */
interface Segment {
  readonly pieces: readonly string[];
}

/** A compiled pattern; {@link compileGlob} makes it. */
export interface Glob {
  readonly pattern: string;
  /** Undefined stands for `**`. */
  readonly segments: readonly (Segment | undefined)[];
  /** Is there a `**` beside other characters? It matches as `*`; nothing is proven about it. */
  readonly hasGluedStars: boolean;
}

/** Compiles any text: there is no wrong glob. What a lease accepts as a pattern is narrower. */
export function compileGlob(pattern: string): Glob {
  const parts = pattern.split("/");
  const segments: (Segment | undefined)[] = [];
  for (const part of parts) {
    if (part !== ANY_NUMBER) segments.push({ pieces: part.split(/\*+/) });
    else if (segments.length === 0 || segments.at(-1) !== undefined) segments.push(undefined);
  }
  const hasGluedStars = parts.some((part) => part !== ANY_NUMBER && part.includes(ANY_NUMBER));
  return { pattern, segments, hasGluedStars };
}

/**
 * Does all of `text` match? Takes at most as many steps as `text` and the pattern have segments, multiplied: a `**`
 * takes as few segments as it can, and only the last one met is ever asked to take one more.
 */
export function matchGlob(glob: Glob | string, text: string): boolean {
  const { segments } = typeof glob === "string" ? compileGlob(glob) : glob;
  const words = text.split("/");
  let position = 0;
  let word = 0;
  let resumeAt: { readonly position: number; word: number } | undefined;
  while (word < words.length) {
    if (position < segments.length) {
      const segment = segments[position];
      if (segment === undefined) {
        position += 1;
        resumeAt = { position, word };
        continue;
      }
      if (matchesSegment(segment, words[word] ?? "")) {
        position += 1;
        word += 1;
        continue;
      }
    }
    if (resumeAt === undefined) return false;
    resumeAt.word += 1;
    ({ position, word } = resumeAt);
  }
  return segments.slice(position).every((segment) => segment === undefined);
}

/** Every piece is taken where it occurs first, which leaves the most to those that follow. */
function matchesSegment({ pieces }: Segment, word: string): boolean {
  const first = pieces[0] ?? "";
  if (pieces.length === 1) return word === first;
  const last = pieces.at(-1) ?? "";
  if (pieces.length === 2 && first === "" && last === "") return word !== "";
  const end = word.length - last.length;
  if (end < first.length || !word.startsWith(first) || !word.endsWith(last)) return false;
  let from = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = word.indexOf(piece, from);
    if (found === -1 || found + piece.length > end) return false;
    from = found + piece.length;
  }
  return true;
}

/** A character that occurs in no pattern: what matches it matches any. */
const ANY_CHARACTER = "\u0000";

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
  const pending = [{ position: 0, states: closure(outer, new Set([0])) }];
  const seen = new Set<string>();
  for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
    const { position, states } = state;
    const key = `${position}:${[...states].sort((a, b) => a - b).join()}`;
    if (seen.has(key)) continue;
    seen.add(key);
    if (states.size === 0) return false;
    effort.left -= states.size;
    if (effort.left < 0) return false;
    if (position === inner.segments.length) {
      if (!states.has(outer.segments.length)) return false;
      continue;
    }
    const segment = inner.segments[position];
    if (segment === undefined) {
      // An empty segment is one that only a `**` takes.
      const any = step(outer, states, mayHaveEmpty ? undefined : ANY_CHARACTER);
      pending.push({ position, states: any }, { position: position + 1, states });
    } else {
      const word = segment.pieces.join(ANY_CHARACTER);
      effort.left -= states.size * (word.length >> 4);
      pending.push({ position: position + 1, states: step(outer, states, word) });
    }
  }
  return true;
}

/** The states after one more segment: `word`, or with undefined one that may be anything. */
function step(glob: Glob, states: ReadonlySet<number>, word: string | undefined): ReadonlySet<number> {
  const next = new Set<number>();
  for (const state of states) {
    if (state === glob.segments.length) continue;
    const segment = glob.segments[state];
    if (segment === undefined) next.add(state);
    else if (word !== undefined && matchesSegment(segment, word)) next.add(state + 1);
  }
  return closure(glob, next);
}

/** Adds the states that are reached by taking a `**` for no segment. */
function closure({ segments }: Glob, states: Set<number>): ReadonlySet<number> {
  for (const state of states) {
    if (state < segments.length && segments[state] === undefined) states.add(state + 1);
  }
  return states;
}
