/** Bounds that a frame must keep before and while it is decoded. Named here once; every door uses the same ones. */
export interface FrameLimits {
  /** Bytes of one frame in UTF-8. Larger frames close the connection before they are read. */
  readonly maxFrameBytes: number;
  /** Nesting of objects and arrays. */
  readonly maxDepth: number;
  /** Members of any one object. */
  readonly maxKeys: number;
  /** Text that some stores cannot hold, U+0000 and unpaired surrogates: refused from clients, read from runtimes. */
  readonly unstorableText: "refuse" | "allow";
  /** Member names that are refused. */
  readonly refusedNames: ReadonlySet<string>;
}

/** Names that a careless copy of an object would take for something else. */
const UNSAFE_NAMES: ReadonlySet<string> = new Set(["__proto__", "prototype", "constructor"]);
/** What an agent says may use any name but the one that JSON cannot carry safely. */
const UNCARRIED_NAMES: ReadonlySet<string> = new Set(["__proto__"]);

/** What a runtime accepts from a client. */
export const CLIENT_FRAME_LIMITS: FrameLimits = {
  maxFrameBytes: 1024 * 1024,
  maxDepth: 64,
  // A thousand unknown members of an envelope are ignored (§5.1), beside those that it has.
  maxKeys: 1024,
  unstorableText: "refuse",
  refusedNames: UNSAFE_NAMES,
};

/** What a client accepts from a runtime: larger, because a result may come inline. */
export const RUNTIME_FRAME_LIMITS: FrameLimits = {
  maxFrameBytes: 64 * 1024 * 1024,
  // What an agent may write at all: deeper values break the writer, longer objects the frame.
  maxDepth: 10_000,
  maxKeys: 5_000_000,
  unstorableText: "allow",
  refusedNames: UNCARRIED_NAMES,
};
