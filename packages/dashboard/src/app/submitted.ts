/** What was submitted from this tab: not every runtime tells the input of a job, and whoever runs one again wants it. */
const KEY = "arcp.submitted";
const MAX_KEPT = 50;
const MAX_CHARACTERS = 256 * 1024;

type Kept = readonly (readonly [jobId: string, input: unknown])[];

function kept(): Kept {
  try {
    const parsed: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(parsed) ? (parsed as Kept) : [];
  } catch {
    // Nobody else writes it: it was cut off, and is worth nothing.
    return [];
  }
}

/** Keeps the input until the tab is closed, with the last others that there is room for. */
export function rememberInput(jobId: string, input: unknown): void {
  let all: Kept = [...kept().slice(-MAX_KEPT + 1), [jobId, input]];
  while (JSON.stringify(all).length > MAX_CHARACTERS && all.length > 0) all = all.slice(1);
  sessionStorage.setItem(KEY, JSON.stringify(all));
}

/** `undefined` if it was not submitted here. */
export const inputOf = (jobId: string): { readonly input: unknown } | undefined => {
  const found = kept().find(([id]) => id === jobId);
  return found && { input: found[1] };
};

/** For whoever signs out. */
export const forgetInputs = (): void => sessionStorage.removeItem(KEY);
