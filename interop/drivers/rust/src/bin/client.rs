//! Goes through the flows with the Rust SDK's client: client URL TOKEN. It prints one JSON object per flow.
//!
//! Where that client has no method for a flow, the SDK's own messages go over its own transport: `Wire`.

use std::collections::HashSet;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use arcp::client::{Authenticated, Session};
use arcp::error::{ARCPError, ErrorCode};
use arcp::ids::{IdempotencyKey, JobId, MessageId, SessionId};
use arcp::messages::{
    AuthScheme, Capabilities, ClientIdentity, CostBudget, CostBudgetAmount, Credentials, JobSubscribePayload,
    MessageType, ResultChunkAssembler, ResumePayload, SessionClosePayload, SessionListJobsFilter,
    SessionListJobsPayload, SessionOpenPayload, SubscriptionFilter, ToolInvokePayload,
};
use arcp::transport::Transport;
use arcp::transport::websocket::WebSocketTransport;
use arcp::{ARCPClient, Envelope};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const FLOW_TIMEOUT: Duration = Duration::from_secs(15);

type Problem = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Problem>;

#[derive(Clone)]
struct Target {
    url: String,
    token: String,
}

impl Target {
    async fn session(&self) -> Result<Session<Authenticated, WebSocketTransport>, Problem> {
        let transport = WebSocketTransport::dial(&self.url).await?;
        let opening = ARCPClient::new(transport).open()?;
        Ok(opening.authenticate(self.credentials(), identity(), wanted()).await?)
    }

    fn credentials(&self) -> Credentials {
        Credentials { scheme: AuthScheme::Bearer, token: Some(self.token.clone()) }
    }
}

fn identity() -> ClientIdentity {
    ClientIdentity { kind: "interop".into(), version: "0".into(), fingerprint: None, principal: None }
}

fn wanted() -> Capabilities {
    Capabilities {
        streaming: Some(true),
        durable_jobs: Some(true),
        artifacts: Some(true),
        subscriptions: Some(true),
        ..Capabilities::default()
    }
}

/// A session of the SDK's messages alone.
struct Wire {
    transport: WebSocketTransport,
    session: SessionId,
}

impl Wire {
    async fn open(target: &Target) -> Result<Self, Problem> {
        let transport = WebSocketTransport::dial(&target.url).await?;
        let open = SessionOpenPayload { auth: target.credentials(), client: identity(), capabilities: wanted() };
        transport.send(Envelope::new(MessageType::SessionOpen(open))).await?;
        let accepted = transport.recv().await?.ok_or("closed during the handshake")?;
        match accepted.payload {
            MessageType::SessionAccepted(payload) => Ok(Self { transport, session: payload.session_id }),
            other => Err(format!("instead of session.accepted: {}", other.type_name()).into()),
        }
    }

    async fn send(&self, payload: MessageType) -> Result<MessageId, Problem> {
        self.send_with(payload, |_| {}).await
    }

    async fn send_with(&self, payload: MessageType, change: impl FnOnce(&mut Envelope)) -> Result<MessageId, Problem> {
        let mut envelope = Envelope::new(payload);
        envelope.session_id = Some(self.session.clone());
        change(&mut envelope);
        let id = envelope.id.clone();
        self.transport.send(envelope).await?;
        Ok(id)
    }

    async fn next(&self) -> Result<Envelope, Problem> {
        Ok(self.transport.recv().await?.ok_or("the connection was closed")?)
    }

    async fn answer_to(&self, id: &MessageId) -> Result<Envelope, Problem> {
        loop {
            let envelope = self.next().await?;
            if envelope.correlation_id.as_ref() == Some(id) {
                return Ok(envelope);
            }
        }
    }

    async fn invoke(&self, tool: &str, arguments: Value) -> Result<JobId, Problem> {
        let id = self.send(MessageType::ToolInvoke(ToolInvokePayload::new(tool, arguments))).await?;
        accepted(self.answer_to(&id).await?)
    }

    /// What is told of `job`, up to its end.
    async fn told_of(&self, job: &JobId) -> Result<Vec<Envelope>, Problem> {
        let mut told = Vec::new();
        loop {
            let envelope = self.next().await?;
            if envelope.job_id.as_ref() != Some(job) {
                continue;
            }
            let is_end = is_end(&envelope.payload);
            told.push(envelope);
            if is_end {
                return Ok(told);
            }
        }
    }

    /// Everything of an earlier session after the message `after`.
    async fn resume(&self, session: SessionId, after: MessageId) -> Result<MessageId, Problem> {
        let payload = ResumePayload { after_message_id: Some(after), ..ResumePayload::default() };
        self.send_with(MessageType::Resume(payload), |envelope| envelope.session_id = Some(session)).await
    }
}

fn accepted(envelope: Envelope) -> Result<JobId, Problem> {
    match envelope.payload {
        MessageType::JobAccepted(payload) => Ok(payload.job_id),
        other => Err(format!("instead of job.accepted: {other:?}").into()),
    }
}

const fn is_end(payload: &MessageType) -> bool {
    matches!(payload, MessageType::JobCompleted(_) | MessageType::JobFailed(_) | MessageType::JobCancelled(_))
}

fn same<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Outcome {
    if actual == expected { Ok(()) } else { Err(format!("expected {expected:?}, got {actual:?}").into()) }
}

/// The problem that `result` is; nothing may be fine.
fn refused<T>(result: Result<T, ARCPError>) -> Result<ARCPError, Problem> {
    result.err().ok_or_else(|| "nothing was refused".into())
}

/// The client tells codes in its texts only.
fn names(error: &ARCPError, code: &str) -> Outcome {
    let text = error.to_string();
    if text.contains(&format!("({code})")) { Ok(()) } else { Err(format!("no {code} in: {text}").into()) }
}

fn lines(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|line| format!("line {line}")).collect()
}

fn logged(told: &[Envelope]) -> Vec<String> {
    told.iter()
        .filter_map(|envelope| match &envelope.payload {
            MessageType::Log(log) => Some(log.message.clone()),
            _ => None,
        })
        .collect()
}

/// Invokes a tool and collects what a subscription to `types` shows of it.
async fn watched(target: &Target, types: &[&str], tool: &str, arguments: Value) -> Result<Vec<Envelope>, Problem> {
    let session = target.session().await?;
    let mut wanted: Vec<String> = types.iter().map(ToString::to_string).collect();
    wanted.push("job.completed".into());
    let subscription = session.subscribe(SubscriptionFilter { types: wanted, ..SubscriptionFilter::default() }).await?;
    let job = session.invoke(tool, arguments).await?;
    job.join().await?;
    let mut told = Vec::new();
    while let Some(envelope) = subscription.next().await {
        if envelope.job_id.as_ref() != Some(&job.job_id) {
            continue;
        }
        if is_end(&envelope.payload) {
            subscription.unsubscribe().await?;
            // What answers that must not have ended the session.
            same(session.invoke("echo", json!({})).await?.join().await?, json!({}))?;
            return Ok(told);
        }
        told.push(envelope);
    }
    Err("the subscription ended before the job".into())
}

async fn connect(target: Target) -> Outcome {
    let session = target.session().await?;
    let agents = session.capabilities().await.agents.ok_or("no agents are listed")?.into_rich();
    if agents.iter().any(|agent| agent.name == "echo") { Ok(()) } else { Err("echo is not listed".into()) }
}

async fn submit(target: Target) -> Outcome {
    let session = target.session().await?;
    let input = json!({ "text": "héllo ✓", "list": [1, 2.5, null], "nested": { "deep": true } });
    same(session.invoke("echo", input.clone()).await?.join().await?, input)
}

async fn budget(target: Target) -> Outcome {
    let wire = Wire::open(&target).await?;
    let mut payload = ToolInvokePayload::new("echo", json!({}));
    let amount = CostBudgetAmount { currency: "USD".into(), amount: 1.5 };
    payload.cost_budget = Some(CostBudget { amounts: vec![amount] });
    let expected = payload.cost_budget.clone();
    let id = wire.send(MessageType::ToolInvoke(payload)).await?;
    match wire.answer_to(&id).await?.payload {
        MessageType::JobAccepted(accepted) => same(accepted.lease.and_then(|lease| lease.cost_budget), expected),
        other => Err(format!("instead of job.accepted: {other:?}").into()),
    }
}

async fn events(target: Target) -> Outcome {
    same(logged(&watched(&target, &["log"], "chatter", json!({ "n": 50 })).await?), lines(0..50))
}

async fn progress(target: Target) -> Outcome {
    let told = watched(&target, &["job.progress"], "progress", json!({ "n": 4 })).await?;
    let seen: Vec<_> = told
        .into_iter()
        .filter_map(|envelope| match envelope.payload {
            MessageType::JobProgress(progress) => progress.percent.zip(progress.message),
            _ => None,
        })
        .collect();
    let expected = [25.0, 50.0, 75.0, 100.0].into_iter().zip(1..).map(|(percent, n)| (percent, format!("step {n}")));
    same(seen, expected.collect())
}

async fn chunks(target: Target) -> Outcome {
    let wire = Wire::open(&target).await?;
    for encoding in ["utf8", "base64"] {
        let job = wire.invoke("chunks", json!({ "n": 3, "bytes": 24, "encoding": encoding })).await?;
        let mut assembler = ResultChunkAssembler::new();
        let told = wire.told_of(&job).await?;
        for envelope in &told {
            if let MessageType::JobResultChunk(chunk) = &envelope.payload {
                assembler.push(chunk)?;
            }
        }
        match told.last().map(|envelope| &envelope.payload) {
            Some(MessageType::JobCompleted(end)) => {
                same(end.result_id.as_deref(), assembler.result_id())?;
                same(end.result_size, Some(72))?;
            }
            other => return Err(format!("instead of job.completed: {other:?}").into()),
        }
        same(assembler.finish_utf8()?, ["a", "b", "c"].map(|letter| letter.repeat(24)).concat())?;
    }
    Ok(())
}

async fn cancel(target: Target) -> Outcome {
    let session = target.session().await?;
    let job = session.invoke("slow", json!({ "ms": 30_000 })).await?;
    sleep(Duration::from_millis(50)).await;
    job.cancel("enough").await?;
    match refused(job.join().await)? {
        ARCPError::Cancelled { .. } => Ok(()),
        other => Err(format!("instead of a cancellation: {other}").into()),
    }
}

async fn error(target: Target) -> Outcome {
    let session = target.session().await?;
    names(&refused(session.invoke("no-such-agent", json!({})).await)?, "NOT_FOUND")?;
    names(&refused(session.invoke("fail", json!({})).await?.join().await)?, "INTERNAL")?;
    same(session.invoke("echo", json!({ "n": 1 })).await?.join().await?, json!({ "n": 1 }))
}

async fn idempotency(target: Target) -> Outcome {
    let wire = Wire::open(&target).await?;
    let key = IdempotencyKey::new(MessageId::new().to_string())?;
    let slow = |ms: u64| MessageType::ToolInvoke(ToolInvokePayload::new("slow", json!({ "ms": ms })));
    let ask = async |ms: u64| {
        let id = wire.send_with(slow(ms), |envelope| envelope.idempotency_key = Some(key.clone())).await?;
        wire.answer_to(&id).await
    };
    let first = accepted(ask(200).await?)?;
    same(&accepted(ask(200).await?)?, &first)?;
    match ask(1).await?.payload {
        MessageType::JobFailed(failed) => same(failed.code, ErrorCode::AlreadyExists),
        other => Err(format!("instead of a refusal: {other:?}").into()),
    }
}

async fn list(target: Target) -> Outcome {
    let wire = Wire::open(&target).await?;
    let mut mine = HashSet::new();
    for _ in 0..3 {
        mine.insert(wire.invoke("slow", json!({ "ms": 1_500 })).await?);
    }
    sleep(Duration::from_millis(50)).await;
    let mut cursor = None;
    loop {
        let filter = SessionListJobsFilter { status: vec!["running".into()], ..SessionListJobsFilter::default() };
        let payload = SessionListJobsPayload { filter: Some(filter), limit: Some(2), cursor };
        let id = wire.send(MessageType::SessionListJobs(payload)).await?;
        match wire.answer_to(&id).await?.payload {
            MessageType::SessionJobs(page) => {
                for job in page.jobs {
                    same(job.status.as_str(), "running")?;
                    mine.remove(&job.job_id);
                }
                cursor = page.next_cursor;
            }
            other => return Err(format!("instead of session.jobs: {other:?}").into()),
        }
        if cursor.is_none() {
            return same(mine, HashSet::new());
        }
    }
}

async fn subscribe(target: Target) -> Outcome {
    let submitter = Wire::open(&target).await?;
    let job = submitter.invoke("chatter", json!({ "n": 10, "delay_ms": 30 })).await?;
    sleep(Duration::from_millis(100)).await;
    let observer = Wire::open(&target).await?;
    let payload = JobSubscribePayload { job_id: job.clone(), from_event_seq: None, history: true };
    let id = observer.send(MessageType::JobSubscribe(payload)).await?;
    match observer.answer_to(&id).await?.payload {
        MessageType::JobSubscribed(subscribed) => same(subscribed.current_status.as_str(), "running")?,
        other => return Err(format!("instead of job.subscribed: {other:?}").into()),
    }
    same(logged(&observer.told_of(&job).await?), lines(0..10))
}

async fn replay(target: Target) -> Outcome {
    let wire = Wire::open(&target).await?;
    let job = wire.invoke("chatter", json!({ "n": 5 })).await?;
    let told = wire.told_of(&job).await?;
    let third = told.iter().position(|envelope| logged(std::slice::from_ref(envelope)) == ["line 2"]);
    let (seen, missed) = told.split_at(third.ok_or("no third line")? + 1);
    let session = wire.session.clone();
    drop(wire);
    let after = seen.last().ok_or("nothing was seen")?.id.clone();
    let again = Wire::open(&target).await?;
    let id = again.resume(session, after).await?;
    let replayed = again.told_of(&job).await?;
    // The same messages, ids and numbers included.
    same(replayed.as_slice(), missed)?;
    match again.answer_to(&id).await?.payload {
        MessageType::Ack(_) => Ok(()),
        other => Err(format!("instead of ack: {other:?}").into()),
    }
}

async fn resume(target: Target) -> Outcome {
    let wire = Wire::open(&target).await?;
    let job = wire.invoke("chatter", json!({ "n": 20, "delay_ms": 30 })).await?;
    let mut told = Vec::new();
    while logged(&told).len() < 3 {
        told.push(wire.next().await?);
    }
    let session = wire.session.clone();
    drop(wire);
    let after = told.last().ok_or("nothing was seen")?.id.clone();
    let again = Wire::open(&target).await?;
    again.resume(session, after).await?;
    told.extend(again.told_of(&job).await?);
    same(logged(&told), lines(0..20))
}

async fn artifact(target: Target) -> Outcome {
    let session = target.session().await?;
    let kept = session.put_artifact("text/plain", "aGVsbG8=", Some(60)).await?;
    same(kept.size, 5)?;
    let fetched = session.fetch_artifact(kept.artifact_id.clone()).await?;
    same(fetched, ("aGVsbG8=".to_owned(), "text/plain".to_owned()))?;
    session.release_artifact(kept.artifact_id.clone()).await?;
    match refused(session.fetch_artifact(kept.artifact_id).await)? {
        ARCPError::NotFound { .. } => Ok(()),
        other => Err(format!("instead of NOT_FOUND: {other}").into()),
    }
}

async fn close(target: Target) -> Outcome {
    let wire = Wire::open(&target).await?;
    let job = wire.invoke("echo", json!({})).await?;
    wire.told_of(&job).await?;
    let payload = SessionClosePayload { reason: Some("done".into()) };
    wire.send(MessageType::SessionClose(payload)).await?;
    match wire.transport.recv().await? {
        None => Ok(()),
        Some(envelope) => Err(format!("after the end: {}", envelope.payload.type_name()).into()),
    }
}

type Flow = fn(Target) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

const FLOWS: &[(&str, Flow)] = &[
    ("connect", |target| Box::pin(connect(target))),
    ("submit", |target| Box::pin(submit(target))),
    ("budget", |target| Box::pin(budget(target))),
    ("events", |target| Box::pin(events(target))),
    ("progress", |target| Box::pin(progress(target))),
    ("chunks", |target| Box::pin(chunks(target))),
    ("cancel", |target| Box::pin(cancel(target))),
    ("error", |target| Box::pin(error(target))),
    ("idempotency", |target| Box::pin(idempotency(target))),
    ("list", |target| Box::pin(list(target))),
    ("subscribe", |target| Box::pin(subscribe(target))),
    ("replay", |target| Box::pin(replay(target))),
    ("resume", |target| Box::pin(resume(target))),
    ("artifact", |target| Box::pin(artifact(target))),
    ("close", |target| Box::pin(close(target))),
];

#[tokio::main]
async fn main() {
    let mut parameters = std::env::args().skip(1);
    let (Some(url), Some(token)) = (parameters.next(), parameters.next()) else {
        eprintln!("client URL TOKEN");
        std::process::exit(2);
    };
    let target = Target { url, token };
    for (name, run) in FLOWS {
        let report = match timeout(FLOW_TIMEOUT, run(target.clone())).await {
            Ok(Ok(())) => json!({ "flow": name, "outcome": "pass" }),
            Ok(Err(problem)) => json!({ "flow": name, "outcome": "fail", "reason": problem.to_string() }),
            Err(_) => json!({ "flow": name, "outcome": "fail", "reason": "no end in time" }),
        };
        println!("{report}");
    }
}
