/** What agents do that cases submit jobs to. Whoever wants all cases to run registers one for each, under the name of the table. */

/** By name: what such an agent does. `{…}` is its input. */
export const BEHAVIOURS = {
  echo: "Returns its input as it is.",
  count:
    "`{n, delay_ms?}`: emits `n` events of kind log, level `info`, message `line 0`, `line 1`, …, waiting `delay_ms` between two, and returns `{lines: n}`.",
  hold: "Emits a log with the message `holding`, and waits until it is told to stop. Stops at once then.",
  stubborn:
    "`{ms}`: emits a log with the message `holding`, and another every 50 ms for `ms`, whatever it is told. Returns `{ms}`.",
  fail: "Throws an ordinary error, with a message of one line.",
  fail_with: "`{code, message}`: fails with that code, as an agent's own failure.",
  kinds:
    'Emits a log of level `debug`, `info`, `warn` and `error`; a thought; a status with a message and one without; two overlapping tool calls, one with a result and one with an error; a metric with unit and dimensions and one without; an artifact_ref; an event of kind `x-vendor.suite.note` with the body `{note: "kept"}`. Returns `{done: true}`.',
  progress:
    "`{reports: [{current, total?, units?, message?}]}`: reports each, refused or not, and returns `{reported: n}`.",
  chunks:
    '`{pieces: string[], encoding?}`, or `{piece_bytes}` for one piece of so many bytes, which is not cut: streams its result in these pieces, as text, or as bytes (`encoding: "base64"`, the pieces\' UTF-8). Then returns `"not the result"`.',
  operate:
    "`{operations: [{capability, target, wait_ms?, cost?: {value, unit}}]}`: tries each under its lease, in order, after `wait_ms`, reporting `cost` as metric `cost.suite` while it acts; a tool call is announced and its outcome told by `tool_call` and `tool_result`. Goes on after a refusal. Returns `{outcomes: [{performed, code}]}`; `code` is null where nothing was refused.",
  spend:
    "`{costs: [{name, value, unit}], operations?}`: emits each as a metric, refused or not, then does what `operate` does. Returns the same, and `{left: {currency: number}}`.",
  delegate:
    "`{delegations: [{agent, input?, lease_request?, lease_constraints?}], wait_ms?}`: waits, delegates each, in order, with `delegate_id` `d0`, `d1`, …, and waits for its end. Returns `{outcomes: [{accepted, code}]}`.",
  ask: "`{response_schema?, default?, expires_in_ms?}`: asks a person for a value that keeps the schema (wire 1.0). Returns `{value}`.",
  choose: "`{options: [{id, label}], expires_in_ms?}`: asks a person to choose (wire 1.0). Returns `{choice_id}`.",
  permit:
    "`{permission, resource, operation, capability, target}`: asks for the permission (wire 1.0), then tries the operation as `operate` does. Returns `{code, outcome}`; `code` is that of the refusal, or null.",
  stream:
    "`{kind, pieces: string[], delay_ms?, redacted?}`: opens a stream of that kind (wire 1.0: text, binary or thought), writes each piece, and closes it. Returns `{pieces: n}`.",
  use: "`{permission, resource, operation, capability, target, uses, every_ms}`: asks for the permission (wire 1.0), then tries the operation every `every_ms`, `uses` times at most, until it is refused; emits a log with the message `used` after the first. Returns `{performed, code}`: how often it was performed, and the code of the refusal or null.",
  checkpoint:
    'Does what `hold` does; whoever wants a checkpoint of it, and whoever cancels it, has one made (wire 1.0). A job that goes on from one returns `{restored: {place: "here"}}` at once.',
  silent:
    "`{deadline_ms, silent_ms}`: gives a sign of life, promises another within `deadline_ms` (wire 1.0), and gives none for `silent_ms`. Returns `{silent_ms}`.",
  spans: "Does something in a span `outer`, and within that in a span `inner` (wire 1.0). Returns `{spans: 2}`.",
  large: "`{n}`: returns a string of `n` times `x`.",
  retried:
    "`{failures}`: fails so many times with an error that may pass, is called again by the runtime each time without a long wait, and returns `{attempts}`, of which the last is one.",
  alone: "Does what `hold` does, one job at a time: others wait until it is over.",
  remnant:
    "`{operations}`: emits a log with the message `holding` every 50 ms; once that is refused because its job has ended, tries the operations as `operate` does, and keeps what came of them. `{of}`: waits for what came of the job of that id, and returns it: `{outcomes}`.",
  upgraded:
    'Has a further version of itself registered, which is its default from then on, emits a log with the message `holding`, and waits for a second. Returns `{agent: "name@version"}`, its own. `{still: true}`: returns that at once.',
  credential:
    "`{rotate?: true, operations?}`: its jobs are issued a credential, by the operator, at an upstream that knows nothing of models. Does what `operate` does if there are operations; otherwise, if asked to, has the credential rotated after its first event, and then does what `hold` does.",
  versioned:
    'Has the versions `1.0.0` (the default), `2.0.0` and `banana`. Returns `{agent: "name@version"}`, its own.',
} as const;

/** What an agent of a manifest does; each is described in {@link BEHAVIOURS}. */
export type Behaviour = keyof typeof BEHAVIOURS;
