/** Why the file system, or the way that it is used here, says no. Known on both sides of a worker's door. */

/** `denied` is PERMISSION_DENIED, `invalid` is INVALID_REQUEST, `failed` is a fault of the machine. */
type Verdict = "denied" | "invalid" | "failed";

interface ReasonFacts {
  readonly verdict: Verdict;
  readonly message: string;
}

const denied = (message: string): ReasonFacts => ({ verdict: "denied", message });
const invalid = (message: string): ReasonFacts => ({ verdict: "invalid", message });
const failed = (message: string): ReasonFacts => ({ verdict: "failed", message });

/** Every reason, as `details.reason` gives it. */
export const REASONS = {
  not_found: invalid("there is nothing of that name"),
  exists: invalid("there is something of that name"),
  not_a_file: invalid("not a regular file"),
  not_a_directory: invalid("not a directory, or not below one"),
  not_empty: invalid("the directory is not empty"),
  too_large: invalid("larger than what is passed at once"),
  too_many: invalid("more entries than what is dealt with at once"),
  too_deep: invalid("deeper than what is dealt with at once"),
  name_too_long: invalid("a name is longer than the file system allows"),
  not_text: invalid("the file is not UTF-8"),
  busy: invalid("in use by the system"),
  is_a_link: denied("it is a link, or leads through one"),
  has_other_names: denied("the file has a second name, which may be anywhere"),
  root_replaced: denied("the directory that the lease names is no longer the one that it named"),
  root_refused: denied("the directory that the lease names cannot be used"),
  lease_root: denied("the directory that the lease names is not removed"),
  not_covered: denied("the lease does not cover everything that this would touch"),
  kernel_file_system: denied("a file system of the kernel"),
  other_file_system: denied("another file system begins there"),
  not_permitted: denied("the operating system does not permit it"),
  no_space: failed("no space is left"),
  overloaded: failed("too many calls to the file system are waiting"),
  unsupported_platform: failed("files are not guarded on this platform"),
  deadline: failed("the file system did not answer in time"),
  stopped: failed("nobody waits for this any more"),
  failed: failed("the file system failed"),
} as const satisfies Record<string, ReasonFacts>;

export type RefusalReason = keyof typeof REASONS;

/** A call that was refused. `code` is the system's name for it, for the log. */
export class Refusal extends Error {
  readonly reason: RefusalReason;
  readonly code: string | undefined;

  constructor(reason: RefusalReason, code?: string) {
    super(REASONS[reason].message);
    this.name = "Refusal";
    this.reason = reason;
    this.code = code;
  }
}

const REASON_OF_CODE: Readonly<Record<string, RefusalReason>> = {
  ENOENT: "not_found",
  EEXIST: "exists",
  EISDIR: "not_a_file",
  ENXIO: "not_a_file",
  EOPNOTSUPP: "not_a_file",
  ENODEV: "not_a_file",
  ENOTDIR: "not_a_directory",
  ENOTEMPTY: "not_empty",
  EFBIG: "too_large",
  ENAMETOOLONG: "name_too_long",
  EBUSY: "busy",
  ETXTBSY: "busy",
  ELOOP: "is_a_link",
  EXDEV: "other_file_system",
  EACCES: "not_permitted",
  EPERM: "not_permitted",
  EROFS: "not_permitted",
  ENOSPC: "no_space",
  EDQUOT: "no_space",
};

/** The system's name for an error, such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** What was thrown, as a refusal. The system's own text is left out: it names paths. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const code = codeOf(error) ?? (error instanceof Error ? error.name : "unknown");
  return new Refusal(REASON_OF_CODE[code] ?? "failed", code);
}
