/**
 * Things of the file system held by descriptor, and names looked up below them. Node has no `openat`; the kernel offers
 * the same under a name: `/proc/self/fd/<descriptor>/<name>` on Linux, `/.vol/<device>/<inode>/<name>` on macOS, where
 * the inode cannot come to mean something else while the descriptor is open.
 */
import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync, statfsSync } from "node:fs";
import { codeOf, Refusal } from "./refusal.ts";

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const onLinux = process.platform === "linux";
/** Names a thing without opening it: no device hears of it, no FIFO waits, and searching is all that it takes. */
const O_PATH = onLinux ? 0o10000000 : O_RDONLY | O_NONBLOCK;
const DIRECTORY = O_PATH | O_DIRECTORY | O_NOFOLLOW;

/** What tells a directory from every other one, as long as it is held. */
export interface Identity {
  readonly dev: bigint;
  readonly ino: bigint;
}

export const isSame = (a: Identity, b: Identity): boolean => a.dev === b.dev && a.ino === b.ino;

export class Descriptor {
  readonly fd: number;
  readonly #isBorrowed: boolean;
  #path: string | undefined;

  private constructor(fd: number, isBorrowed: boolean) {
    this.fd = fd;
    this.#isBorrowed = isBorrowed;
  }

  /** Opens what `path` names, which {@link at} or {@link path} has returned, or which is `/`. */
  static open(path: string, flags: number, mode?: number): Descriptor {
    return new Descriptor(openSync(path, flags, mode), false);
  }

  /** A descriptor that is closed by somebody else. */
  static borrowed(fd: number): Descriptor {
    return new Descriptor(fd, true);
  }

  static root(): Descriptor {
    return Descriptor.open("/", DIRECTORY);
  }

  /** A path that leads to this very thing, whatever its name is by now. */
  get path(): string {
    this.#path ??= onLinux ? `/proc/self/fd/${this.fd}` : volumePath(this.identity());
    return this.#path;
  }

  /** A path that leads to what is called `name` in this directory. `name` is one segment, and neither `.` nor `..`. */
  at(name: string): string {
    return `${this.path}/${name}`;
  }

  identity(): BigIntStats {
    return fstatSync(this.fd, { bigint: true });
  }

  /**
   * The directory called `name` in this one.
   *
   * @throws Refusal `not_found`, `is_a_link`, `not_a_directory`.
   */
  directory(name: string): Descriptor {
    try {
      return Descriptor.open(this.at(name), DIRECTORY);
    } catch (error) {
      const code = codeOf(error);
      if (code !== "ENOTDIR" && code !== "ELOOP") throw error;
      const found = lstatSync(this.at(name));
      // What is a directory by now took a link's place a moment ago.
      throw new Refusal(found.isSymbolicLink() || found.isDirectory() ? "is_a_link" : "not_a_directory");
    }
  }

  /**
   * The regular file called `name` in this directory, opened with `flags`. What is none is not opened, so that nothing
   * waits and no device hears of it.
   *
   * @throws Refusal `not_found`, `is_a_link`, `not_a_file`, `has_other_names`, `kernel_file_system`.
   */
  file(name: string, flags: number): Descriptor {
    if (!onLinux) return checkedFile(Descriptor.open(this.at(name), flags | O_NOFOLLOW | O_NONBLOCK));
    using named = checkedFile(Descriptor.open(this.at(name), O_PATH | O_NOFOLLOW));
    return Descriptor.open(named.path, flags | O_NONBLOCK);
  }

  /** @throws Refusal if this belongs to a file system that shows the kernel's own state. */
  assertNotOfKernel(): void {
    if (onLinux && KERNEL_FILE_SYSTEMS.has(statfsSync(this.path).type)) throw new Refusal("kernel_file_system");
  }

  close(): void {
    if (!this.#isBorrowed) closeSync(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What `opened` is, once it is known to be a file that only its own name leads to. It is closed otherwise. */
function checkedFile(opened: Descriptor): Descriptor {
  try {
    const facts = opened.identity();
    if (facts.isSymbolicLink()) throw new Refusal("is_a_link");
    if (!facts.isFile()) throw new Refusal("not_a_file");
    // None is left of a file that was replaced a moment ago.
    if (facts.nlink > 1n) throw new Refusal("has_other_names");
    opened.assertNotOfKernel();
    return opened;
  } catch (error) {
    opened.close();
    throw error;
  }
}

/** Volumes that do not offer it are of no use here: what comes back is compared. */
function volumePath(identity: BigIntStats): string {
  const path = `/.vol/${identity.dev}/${identity.ino}`;
  if (!isSame(lstatSync(path, { bigint: true }), identity)) throw new Refusal("unsupported_platform");
  return path;
}

/** By the numbers that `statfs` gives: `linux/magic.h`. */
const KERNEL_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x73636673, // securityfs
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0xde5e81e4, // efivarfs
  0x62656570, // configfs
  0x42494e4d, // binfmt_misc
  0xf97cff8c, // selinuxfs
  0x43415d53, // smackfs
  0x65735543, // fusectl
  0x6e736673, // nsfs
  0x1cd1, // devpts
  0x19800202, // mqueue
  0x7655821, // resctrl
  0x1373, // devfs
]);

/** Is there what this relies on? Asked once, before anything is opened for an agent. */
export function assertSupported(): void {
  const isThere = onLinux ? statfsSync("/proc/self/fd").type === 0x9fa0 : process.platform === "darwin";
  if (!isThere) throw new Refusal("unsupported_platform");
}
