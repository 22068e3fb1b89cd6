/**
 * The limit server: the least that any server of this traffic must do, and nothing else.
 *
 * It reads frames with `ws`, builds the same envelopes by string concatenation, writes every acceptance and every
 * numbered message to SQLite on disk and then to the sockets. Once per turn of the event loop: one transaction (at most 200 rows), then one
 * corked write per socket. It validates nothing, authenticates nobody, knows no leases and no idempotency, and resumes
 * only as far as the replay scenario needs. It is a yardstick, not an implementation.
 */
import { randomBytes } from "node:crypto";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import Database from "better-sqlite3";
import { type WebSocket, WebSocketServer } from "ws";
import { type ChunksInput, Gate, type StreamInput, serveControl, serverSettings } from "./server-control.ts";

const ROWS_PER_TRANSACTION = 200;
/** A turn stops producing after this many bytes, so that large chunks do not make long turns. */
const BYTES_PER_TURN = 1024 * 1024;
/** A job waits while one of its followers has more than this unsent. */
const HIGH_WATER_BYTES = 1024 * 1024;

interface Session {
  readonly number: number;
  readonly id: string;
  resumeToken: string;
  socket: WebSocket | undefined;
  stream: Socket | undefined;
  /** The last number given out in this session's stream. */
  seq: number;
  /** Frames of this turn. */
  readonly out: string[];
  /** The row that replay reads next, while this session replays. */
  replayFrom: number | undefined;
  /** What the client has already. */
  replayAfterSeq: number;
  /** The rows that hold this session's own messages begin here. */
  firstRow: number;
  waitsForDrain: boolean;
}

interface Job {
  readonly number: number;
  readonly owner: Session;
  /** What comes before the number in an envelope of this job, per session that follows it. The owner is the first. */
  readonly followers: { readonly session: Session; readonly head: string }[];
  /** Emits the next message; `false` when it was the last one. */
  step: () => boolean;
  isOver: boolean;
}

const settings = serverSettings();
const database = new Database(join(settings.directory, "limit.db"));
database.pragma("journal_mode = WAL");
database.pragma(`synchronous = ${settings.synchronous}`);
database.exec(
  "CREATE TABLE log (n INTEGER PRIMARY KEY, session INTEGER, seq INTEGER, job INTEGER, type TEXT, payload TEXT)",
);
const begin = database.prepare("BEGIN");
const commit = database.prepare("COMMIT");
const insert = database.prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)");
const select = database
  .prepare("SELECT n, session, seq, job, type, payload FROM log WHERE n >= ? ORDER BY n LIMIT ?")
  .raw();

const gate = new Gate();
const sessions = new Map<string, Session>();
const jobs = new Map<string, Job>();
const jobHeads: string[] = [];
const ID_BASE = randomBytes(9).toString("hex").toUpperCase();
const idText = (n: number): string => ID_BASE + n.toString(36).toUpperCase().padStart(8, "0");

let lastRow = 0;
let lastId = 0;
let lastTime = 0;
let lastTimeText = "";

function timestamp(): string {
  const now = Date.now();
  if (now !== lastTime) {
    lastTime = now;
    lastTimeText = new Date(now).toISOString();
  }
  return lastTimeText;
}

// --- One turn -------------------------------------------------------------------------------------------------------

type Row = [n: number, session: number, seq: number, job: number, type: string, payload: string];
let rows: Row[] = [];
let bytesThisTurn = 0;
const dirty = new Set<Session>();
const replaying = new Set<Session>();
let active: Job[] = [];
let firstInTurn = 0;
let isScheduled = false;

function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(turn);
}

function turn(): void {
  isScheduled = false;
  const mayGoOn = produce();
  for (const session of replaying) replaySlice(session);
  store();
  for (const session of dirty) write(session);
  dirty.clear();
  bytesThisTurn = 0;
  if (mayGoOn) schedule();
  for (const session of replaying) if (!isBlocked(session)) schedule();
}

/** Lets every job that can emit do so, in rounds, until the turn is full. Is there more to emit right away? */
function produce(): boolean {
  const inOrder = [...active.slice(firstInTurn), ...active.slice(0, firstInTurn)];
  let runnable = inOrder.filter((job) => !job.isOver && !job.followers.some(({ session }) => isBlocked(session)));
  const isFull = (): boolean => rows.length >= ROWS_PER_TRANSACTION || bytesThisTurn >= BYTES_PER_TURN;
  let next: Job | undefined;
  while (runnable.length > 0 && !isFull()) {
    for (const job of runnable) {
      if (isFull()) {
        next = job;
        break;
      }
      if (!job.step()) job.isOver = true;
    }
    runnable = runnable.filter((job) => !job.isOver);
  }
  active = active.filter((job) => !job.isOver);
  // Whoever was not served in this turn goes first in the next one.
  firstInTurn = next === undefined ? 0 : Math.max(active.indexOf(next), 0);
  return runnable.length > 0;
}

function store(): void {
  for (let from = 0; from < rows.length; from += ROWS_PER_TRANSACTION) {
    begin.run();
    const end = Math.min(from + ROWS_PER_TRANSACTION, rows.length);
    for (let i = from; i < end; i += 1) insert.run(rows[i]);
    commit.run();
  }
  rows = [];
}

function write(session: Session): void {
  const { socket, stream, out } = session;
  if (socket !== undefined && stream !== undefined) {
    stream.cork();
    for (const frame of out) socket.send(frame);
    stream.uncork();
  }
  out.length = 0;
}

/** Has the peer too much unsent? Asks to be woken when it has less. */
function isBlocked(session: Session): boolean {
  const { socket, stream } = session;
  if (socket === undefined || stream === undefined || socket.bufferedAmount < HIGH_WATER_BYTES) return false;
  if (!session.waitsForDrain) {
    session.waitsForDrain = true;
    stream.once("drain", () => {
      session.waitsForDrain = false;
      schedule();
    });
  }
  return true;
}

function enqueue(session: Session, frame: string): void {
  session.out.push(frame);
  dirty.add(session);
  schedule();
}

// --- Messages -------------------------------------------------------------------------------------------------------

const head = (type: string, session: Session): string =>
  `{"arcp":"1.1","id":"msg_${idText(++lastId)}","type":"${type}","session_id":"${session.id}"`;

/** Records one numbered message of a job as one row and sends it to everyone who follows the job. */
function record(job: Job, type: string, payload: string): void {
  lastRow += 1;
  bytesThisTurn += payload.length;
  const id = idText(lastRow);
  for (const { session, head: followerHead } of job.followers) {
    session.seq += 1;
    enqueue(session, envelope(id, type, followerHead, session.seq, payload));
  }
  rows.push([lastRow, job.owner.number, job.owner.seq, job.number, type, payload]);
}

const envelope = (id: string, type: string, jobHead: string, seq: number, payload: string): string =>
  `{"arcp":"1.1","id":"msg_${id}","type":"${type}${jobHead}${seq},"payload":${payload}}`;

const event = (kind: string, body: string): string => `{"kind":"${kind}","ts":"${timestamp()}","body":${body}}`;

function follow(job: Job, session: Session, jobId: string, traceId: string): void {
  const jobHead = `","session_id":"${session.id}","job_id":"${jobId}","trace_id":"${traceId}","event_seq":`;
  job.followers.push({ session, head: jobHead });
  if (session === job.owner) jobHeads[job.number] = jobHead;
}

interface ClientFrame {
  readonly type: string;
  readonly job_id?: string;
  readonly payload: {
    readonly agent?: string;
    readonly input?: unknown;
    readonly nonce?: string;
    readonly job_id?: string;
    readonly resume?: { readonly session_id: string; readonly last_event_seq: number };
  };
}

function onFrame(session: Session, frame: ClientFrame): void {
  switch (frame.type) {
    case "job.submit":
      onSubmit(session, frame);
      break;
    case "job.subscribe":
      onSubscribe(session, frame.payload.job_id ?? "");
      break;
    case "job.cancel":
      onCancel(session, frame.job_id ?? frame.payload.job_id ?? "");
      break;
    case "session.ping":
      enqueue(
        session,
        `${head("session.pong", session)},"payload":{"ping_nonce":"${frame.payload.nonce}","received_at":"${timestamp()}"}}`,
      );
      break;
    case "session.close":
      enqueue(session, `${head("session.closed", session)},"payload":{}}`);
      break;
    default: // session.ack, session.pong: nothing to do
  }
}

const traceIds = new Map<Job, string>();

function onSubmit(session: Session, frame: ClientFrame): void {
  const { agent = "", input } = frame.payload;
  const jobId = `job_${idText(++lastId)}`;
  const traceId = randomId32();
  const number = jobHeads.length;
  const job: Job = { number, owner: session, followers: [], step: () => false, isOver: false };
  follow(job, session, jobId, traceId);
  jobs.set(jobId, job);
  traceIds.set(job, traceId);
  const name = agent.split("@")[0] ?? "";
  const accepted =
    `{"job_id":"${jobId}","agent":"${name}@1.0.0","lease":{},` +
    `"accepted_at":"${timestamp()}","trace_id":"${traceId}"}`;
  // What was accepted is on disk before the client hears of it, as everything else is.
  rows.push([++lastRow, session.number, 0, number, "job.accepted", accepted]);
  enqueue(
    session,
    `${head("job.accepted", session)},"job_id":"${jobId}","trace_id":"${traceId}","payload":${accepted}}`,
  );
  if (name === "stream") {
    const stream = input as StreamInput;
    job.step = streamStep(job, stream);
    if (stream.gated === true) gate.wait(() => start(job));
    else start(job);
  } else if (name === "chunks") {
    job.step = chunksStep(job, input as ChunksInput);
    start(job);
  } else {
    record(job, "job.result", `{"final_status":"success","result":{"echoed":${JSON.stringify(input)}}}`);
    jobs.delete(jobId);
    traceIds.delete(job);
  }
}

/** Sixteen bytes in hexadecimal that differ from job to job; not random. */
function randomId32(): string {
  return ID_BASE.toLowerCase().slice(0, 16) + (++lastId).toString(16).padStart(16, "0");
}

function start(job: Job): void {
  active.push(job);
  schedule();
}

function streamStep(job: Job, { count, bytes }: StreamInput): () => boolean {
  const text = "x".repeat(bytes);
  let sent = 0;
  return () => {
    if (sent === count) {
      record(job, "job.result", `{"final_status":"success","result":{"sent":${count}}}`);
      return false;
    }
    sent += 1;
    record(job, "job.event", event("log", `{"level":"info","message":${JSON.stringify(text)}}`));
    return true;
  };
}

function chunksStep(job: Job, { chunks, chunkBytes }: ChunksInput): () => boolean {
  const bytes = Buffer.alloc(chunkBytes, 0xa5);
  const resultId = `res_${idText(++lastId)}`;
  let sent = 0;
  return () => {
    if (sent === chunks) {
      record(
        job,
        "job.result",
        `{"final_status":"success","result_id":"${resultId}","result_size":${chunks * chunkBytes}}`,
      );
      return false;
    }
    const data = bytes.toString("base64");
    record(
      job,
      "job.event",
      event(
        "result_chunk",
        `{"result_id":"${resultId}","chunk_seq":${sent},"data":"${data}","encoding":"base64","more":${sent + 1 < chunks}}`,
      ),
    );
    sent += 1;
    return true;
  };
}

function onSubscribe(session: Session, jobId: string): void {
  const job = jobs.get(jobId);
  if (job === undefined) return;
  const traceId = traceIds.get(job) ?? "";
  enqueue(
    session,
    `${head("job.subscribed", session)},"job_id":"${jobId}","payload":{"job_id":"${jobId}","current_status":"running",` +
      `"agent":"stream@1.0.0","lease":{},"parent_job_id":null,"trace_id":"${traceId}","subscribed_from":0,"replayed":false}}`,
  );
  follow(job, session, jobId, traceId);
}

function onCancel(session: Session, jobId: string): void {
  const job = jobs.get(jobId);
  if (job === undefined || job.isOver) return;
  job.isOver = true;
  enqueue(session, `${head("job.cancelled", session)},"job_id":"${jobId}","payload":{}}`);
  record(
    job,
    "job.error",
    '{"final_status":"cancelled","code":"CANCELLED","message":"client_cancel","retryable":false}',
  );
}

// --- Sessions -------------------------------------------------------------------------------------------------------

function openSession(socket: WebSocket, frame: ClientFrame): Session {
  const { resume } = frame.payload;
  const session = (resume && sessions.get(resume.session_id)) ?? newSession();
  session.socket = socket;
  session.stream = (socket as unknown as { _socket: Socket })._socket;
  session.waitsForDrain = false;
  session.resumeToken = `rt_${randomBytes(32).toString("hex")}`;
  if (session.firstRow === 0) session.firstRow = lastRow + 1;
  enqueue(
    session,
    `${head("session.welcome", session)},"payload":{"runtime":{"name":"limit","version":"1.0.0"},"resume_token":"${session.resumeToken}",` +
      '"resume_window_sec":600,"heartbeat_interval_sec":30,"capabilities":{"encodings":["json"],"agents":[' +
      '{"name":"echo","versions":["1.0.0"],"default":"1.0.0"},{"name":"stream","versions":["1.0.0"],"default":"1.0.0"},' +
      '{"name":"chunks","versions":["1.0.0"],"default":"1.0.0"}],"features":["ack","subscribe","result_chunk","agent_versions"]}}}',
  );
  if (resume !== undefined) {
    session.replayFrom = session.firstRow;
    session.replayAfterSeq = resume.last_event_seq;
    replaying.add(session);
  }
  return session;
}

function newSession(): Session {
  const session: Session = {
    number: sessions.size + 1,
    id: `sess_${idText(++lastId)}`,
    resumeToken: "",
    socket: undefined,
    stream: undefined,
    seq: 0,
    out: [],
    replayFrom: undefined,
    replayAfterSeq: 0,
    firstRow: 0,
    waitsForDrain: false,
  };
  sessions.set(session.id, session);
  return session;
}

/** Sends the next rows of a session from the disk. */
function replaySlice(session: Session): void {
  if (session.replayFrom === undefined || isBlocked(session)) return;
  const found = select.all(session.replayFrom, ROWS_PER_TRANSACTION) as Row[];
  for (const [n, owner, seq, job, type, payload] of found) {
    if (owner !== session.number || seq <= session.replayAfterSeq) continue;
    session.out.push(envelope(idText(n), type, jobHeads[job] ?? "", seq, payload));
  }
  dirty.add(session);
  if (found.length < ROWS_PER_TRANSACTION) {
    session.replayFrom = undefined;
    replaying.delete(session);
  } else session.replayFrom += found.length;
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("connection", (socket, request) => {
  request.socket.setNoDelay(true);
  let session: Session | undefined;
  socket.on("message", (data) => {
    const frame = JSON.parse(String(data)) as ClientFrame;
    if (session === undefined) session = openSession(socket, frame);
    else onFrame(session, frame);
  });
  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    if (session?.socket !== socket) return;
    session.socket = undefined;
    session.stream = undefined;
    schedule();
  });
});
server.on("listening", () => {
  serveControl(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/arcp`, gate);
});
