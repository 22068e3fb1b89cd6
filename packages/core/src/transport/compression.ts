/** Compression of frames on WebSockets: `permessage-deflate` (RFC 7692). Off unless asked for. */

export interface CompressionOptions {
  /** Frames of fewer bytes go as they are. Default: 1,024. */
  readonly thresholdBytes?: number;
  /**
   * Keeps what earlier frames of the connection held, so that small ones that resemble them shrink, too. It costs some
   * 250 KiB of memory for every connection, also for those on which nothing happens. Default: false.
   */
  readonly keepsContext?: boolean;
}

/** The choice that was made, with its defaults. */
export type Compression = Required<CompressionOptions>;

const THRESHOLD_BYTES = 1024;

/** `undefined` if there is to be none. */
export function compressionOf(choice: boolean | CompressionOptions | undefined): Compression | undefined {
  if (choice === undefined || choice === false) return undefined;
  const { thresholdBytes = THRESHOLD_BYTES, keepsContext = false } = choice === true ? {} : choice;
  return { thresholdBytes, keepsContext };
}
