/** What patterns mean (§9.2), word for word and by trying everything: slow, and nothing of it is the runtime's. */

/** Does a glob match a text, both cut at the slashes? */
export function globMatches(pattern: readonly string[], text: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return text.length === 0;
  if (first === "**") return text.some((_, skip) => globMatches(rest, text.slice(skip))) || globMatches(rest, []);
  const [word, ...words] = text;
  if (word === undefined) return false;
  const isMatch = /^\*+$/.test(first) ? word !== "" : wordMatches([...first], [...word]);
  return isMatch && globMatches(rest, words);
}

/** Does a pattern in which `*` stands for any number of characters match, both cut into characters? */
function wordMatches(pattern: readonly string[], word: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return word.length === 0;
  if (first === "*") return wordMatches(rest, word) || (word.length > 0 && wordMatches(pattern, word.slice(1)));
  return word[0] === first && wordMatches(rest, word.slice(1));
}

/** Does `pattern`, which a lease may have, match `target`, which is canonical? */
export function patternMatches(capability: string, pattern: string, target: string): boolean {
  if (capability === "net.fetch") return urlMatches(new URL(pattern), new URL(target));
  if (capability !== "agent.delegate") return globMatches(pattern.split("/"), target.split("/"));
  const [patternName = "", patternVersion] = pattern.split("@");
  const [name = "", version] = target.split("@");
  if (!globMatches([patternName], [name])) return false;
  if (patternVersion === undefined) return true;
  return version !== undefined && globMatches([patternVersion], [version]);
}

function urlMatches(pattern: URL, target: URL): boolean {
  const isPart = (part: string, whole: string) => part === "" || wordMatches([...part], [...whole]);
  return (
    pattern.protocol === target.protocol &&
    pattern.port === target.port &&
    globMatches(pattern.hostname.split("."), target.hostname.split(".")) &&
    globMatches(pattern.pathname.split("/"), target.pathname.split("/")) &&
    isPart(pattern.search, target.search) &&
    isPart(pattern.hash, target.hash)
  );
}
