/** Where the page is: everything that can be linked to is behind `#`, which is sent nowhere. */
import { computed, signal } from "@preact/signals";

export interface Route {
  /** Decoded parts, e.g. `["jobs", "job_…"]`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
});

export const route = computed<Route>(() => {
  const [path = "", query = ""] = hash.value.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
});

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // What is no encoding is meant as it stands.
    return part;
  }
}

export const go = (target: string): void => {
  location.hash = target;
};

/** Changes what is behind `?` without a new entry in the history. Empty values are left out. */
export function setQuery(changes: Readonly<Record<string, string>>): void {
  const { path, query } = route.value;
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  history.replaceState(null, "", `#/${path.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`);
  hash.value = location.hash;
}

export const jobLink = (jobId: string): string => `#/jobs/${encodeURIComponent(jobId)}`;
