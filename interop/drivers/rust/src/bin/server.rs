//! A runtime of the Rust SDK with the agents of the flows: server TOKEN. It prints its address and ends when its input
//! does.
//!
//! What an agent can tell of its work in that SDK is metrics and pieces of its result: no log lines, and no progress.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arcp::auth::BearerAuthenticator;
use arcp::error::ARCPError;
use arcp::messages::{AgentInventory, AgentInventoryEntry, Capabilities, ResultChunkEncoding};
use arcp::runtime::{ARCPRuntime, ToolContext, ToolHandler, ToolRegistryBuilder};
use arcp::transport::websocket::WebSocketTransport;
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::sleep;

type Answer = Result<Value, ARCPError>;
type Run = fn(Value, ToolContext) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

struct Agent {
    name: &'static str,
    run: Run,
}

#[async_trait]
impl ToolHandler for Agent {
    fn name(&self) -> &str {
        self.name
    }

    async fn invoke(&self, arguments: Value, context: ToolContext) -> Answer {
        (self.run)(arguments, context).await
    }
}

fn number(input: &Value, name: &str) -> u64 {
    input[name].as_u64().unwrap_or(0)
}

async fn pause(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

async fn slow(input: Value) -> Answer {
    let milliseconds = number(&input, "ms");
    pause(milliseconds).await;
    Ok(json!({ "slept": milliseconds }))
}

async fn chatter(input: Value, context: ToolContext) -> Answer {
    let lines = number(&input, "n");
    for line in 0..lines {
        if line > 0 {
            pause(number(&input, "delay_ms")).await;
        }
        let value = u32::try_from(line).map_err(|thrown| ARCPError::Internal { detail: thrown.to_string() })?;
        context.charge("chatter.line", f64::from(value), "line").await?;
    }
    Ok(json!({ "lines": lines }))
}

async fn chunks(input: Value, context: ToolContext) -> Answer {
    let pieces = number(&input, "n");
    let bytes = usize::try_from(number(&input, "bytes")).unwrap_or(0);
    let is_text = input["encoding"] != "base64";
    let id = format!("res_{}", context.job_id());
    for (piece, letter) in (0..pieces).zip('a'..) {
        let text = letter.to_string().repeat(bytes);
        let (data, encoding) = if is_text {
            (text, ResultChunkEncoding::Utf8)
        } else {
            (base64(text.as_bytes()), ResultChunkEncoding::Base64)
        };
        context.emit_result_chunk(id.clone(), piece, data, encoding, piece + 1 < pieces).await?;
    }
    let size = pieces * number(&input, "bytes");
    Ok(json!({ "$arcp_streamed_result": { "result_id": id, "result_size": size } }))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let index = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= three.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

const AGENTS: &[Agent] = &[
    Agent { name: "echo", run: |input, _| Box::pin(async { Ok(input) }) },
    Agent {
        name: "fail",
        run: |_, _| Box::pin(async { Err(ARCPError::Internal { detail: "interop: deliberate failure".into() }) }),
    },
    Agent { name: "slow", run: |input, _| Box::pin(slow(input)) },
    Agent { name: "chatter", run: |input, context| Box::pin(chatter(input, context)) },
    Agent { name: "chunks", run: |input, context| Box::pin(chunks(input, context)) },
];

fn offered() -> Capabilities {
    let entry = |agent: &Agent| AgentInventoryEntry { name: agent.name.into(), versions: Vec::new(), default: None };
    Capabilities {
        streaming: Some(true),
        durable_jobs: Some(true),
        artifacts: Some(true),
        subscriptions: Some(true),
        agents: Some(AgentInventory::Rich(AGENTS.iter().map(entry).collect())),
        ..Capabilities::default()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = std::env::args().nth(1).ok_or("server TOKEN")?;
    let tools = AGENTS.iter().fold(ToolRegistryBuilder::new(), |tools, agent| {
        tools.with(Arc::new(Agent { name: agent.name, run: agent.run }))
    });
    let runtime = ARCPRuntime::builder()
        .with_authenticator(Box::new(BearerAuthenticator::new().with_token(token, "interop")))
        .with_tools(tools.build())
        .with_capabilities(offered())
        .build()
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", json!({ "url": format!("ws://{}/", listener.local_addr()?) }));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(stream) = tokio_tungstenite::accept_async(socket).await {
                let _task = runtime.serve_connection(WebSocketTransport::accept_stream(stream));
            }
        }
    });
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
