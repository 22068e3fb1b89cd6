/**
 * How much each principal has stored, and is storing. What a principal has is read from its records when it first puts
 * something; from then on it is counted.
 *
 *   (none)  -> loading  somebody puts an artifact
 *   loading -> counted  the records have been read: none of them changes meanwhile
 *   counted -> (none)   nothing is left to count, and nobody is putting
 */
import { type ArtifactCaps, exhausted } from "./caps.ts";

interface Account {
  artifacts: number;
  bytes: number;
  /** Puts that are under way. */
  holders: number;
  /** Settles when the records have been read; `undefined` from then on. */
  loading: Promise<void> | undefined;
}

/** Room for one artifact. Given back on disposal, unless it was kept. */
export interface Room extends Disposable {
  /** Makes room for `bytes` in all. Throws {@link InternalError} beyond the principal's cap, and takes nothing. */
  fit(bytes: number): void;
  /** It is stored, and has this size. */
  keep(bytes: number): void;
}

export interface QuotasOptions {
  readonly caps: ArtifactCaps;
  /** The sizes of what is stored of the principal. Includes everything that was put down before the call. */
  readonly sizesOf: (principal: string) => AsyncIterable<number>;
}

export class Quotas {
  readonly #options: QuotasOptions;
  readonly #accounts = new Map<string, Account>();

  constructor(options: QuotasOptions) {
    this.#options = options;
  }

  /** Room for one more artifact of `principal`, empty at first. Rejects with {@link InternalError} beyond the cap. */
  async room(principal: string): Promise<Room> {
    const account = this.#accounts.get(principal) ?? this.#opened(principal);
    account.holders += 1;
    const leave = (): void => {
      account.holders -= 1;
      this.#forget(principal, account);
    };
    try {
      await account.loading;
      const { maxPrincipalArtifacts } = this.#options.caps;
      if (account.artifacts >= maxPrincipalArtifacts) {
        throw exhausted("maxPrincipalArtifacts", maxPrincipalArtifacts, "after_capacity");
      }
    } catch (error) {
      leave();
      throw error;
    }
    account.artifacts += 1;
    return this.#roomIn(account, leave);
  }

  /** What to wait for before an artifact of the principal is removed: its records are being read. Never rejects. */
  loading(principal: string): Promise<void> | undefined {
    return this.#accounts.get(principal)?.loading?.catch(() => {
      // Who wanted to put something hears of it.
    });
  }

  /** An artifact's record goes, at this moment: nothing is {@link loading}. */
  giveBack(principal: string, bytes: number): void {
    const account = this.#accounts.get(principal);
    if (account === undefined) return;
    account.artifacts -= 1;
    account.bytes -= bytes;
    this.#forget(principal, account);
  }

  #opened(principal: string): Account {
    const account: Account = { artifacts: 0, bytes: 0, holders: 0, loading: undefined };
    this.#accounts.set(principal, account);
    account.loading = this.#load(principal, account);
    return account;
  }

  async #load(principal: string, account: Account): Promise<void> {
    try {
      for await (const bytes of this.#options.sizesOf(principal)) {
        account.artifacts += 1;
        account.bytes += bytes;
      }
    } catch (error) {
      // The next one to ask reads again.
      this.#accounts.delete(principal);
      throw error;
    } finally {
      account.loading = undefined;
    }
  }

  #roomIn(account: Account, leave: () => void): Room {
    let mine = 0;
    let isKept = false;
    const take = (bytes: number): void => {
      account.bytes += bytes - mine;
      mine = bytes;
    };
    return {
      fit: (bytes) => {
        const { maxPrincipalBytes } = this.#options.caps;
        if (bytes <= mine) return;
        if (account.bytes + bytes - mine > maxPrincipalBytes) {
          throw exhausted("maxPrincipalBytes", maxPrincipalBytes, "after_capacity");
        }
        take(bytes);
      },
      keep: (bytes) => {
        take(bytes);
        isKept = true;
      },
      [Symbol.dispose]: () => {
        if (!isKept) {
          take(0);
          account.artifacts -= 1;
        }
        leave();
      },
    };
  }

  #forget(principal: string, account: Account): void {
    if (account.holders > 0 || account.artifacts > 0 || account.loading !== undefined) return;
    if (this.#accounts.get(principal) === account) this.#accounts.delete(principal);
  }
}
