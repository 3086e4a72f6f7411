//! A model server without a model: it answers like vLLM, records every request as it arrives, and
//! misbehaves when a request's `sim-*` headers ask for it. Tests and benchmarks put it behind the gateway.

mod answer;
mod api;
mod body;
mod controls;
mod delivery;
mod dialects;
mod metrics;
mod record;
mod server;
mod shapes;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::server::Sim;

/// A model server without a model, for tests and benchmarks.
///
/// It speaks OpenAI's API over HTTP/1.1 and HTTP/2 (prior knowledge) on one port, exposes vLLM's metrics, and
/// keeps a record of what it received.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// Address to listen on; port 0 takes a free one, which the first line on stdout names.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Path before `/chat/completions`, `/models` and the others.
    #[arg(long, default_value = "/v1")]
    base_path: String,
    /// A model that is served; repeatable. Without it every model is.
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// The bearer token that callers must send. Without it nobody is asked.
    #[arg(long)]
    api_key: Option<String>,
    /// A JSON object of answers: what is said to a message that has the key in it. Other messages are repeated.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Answer well whatever a request's sim-* headers ask for.
    #[arg(long)]
    steady: bool,
    /// Prompt tokens read in a second; 0 reads them at once.
    #[arg(long, default_value_t = 0)]
    prefill_tokens_per_second: u32,
    /// Tokens generated in a second for one request; 0 generates them at once.
    #[arg(long, default_value_t = 0)]
    decode_tokens_per_second: u32,
    /// Requests that run at the same time; more wait, and show in `vllm:num_requests_waiting`.
    #[arg(long, default_value_t = 1024)]
    max_running: u16,
    /// Tokens that fit into the simulated cache, for `vllm:kv_cache_usage_perc`.
    #[arg(long, default_value_t = 100_000)]
    kv_cache_tokens: u32,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let answers = options.answers.as_deref().map(answers).transpose()?.unwrap_or_default();
    server::serve(listener, Arc::new(Sim::new(options, answers))).await
}

fn answers(file: &Path) -> io::Result<Vec<(String, String)>> {
    let members: Map<String, Value> = serde_json::from_slice(&fs::read(file)?)?;
    Ok(members.into_iter().map(|(part, text)| (part, answer::text_of(&text))).collect())
}

const AFTER_HELP: &str = "\
A token is a word. An answer repeats the last message and, when max_tokens is given, goes on with numbered words
until it has exactly that many.

Request headers that change one answer:
  sim-tag: NAME                   groups requests for GET /sim/requests?tag=NAME
  sim-status: 503                 answers an error with this status
  sim-retry-after: 2              adds a retry-after header
  sim-error-in-200: 1             answers 200 with an error as its body, or as the first event of a stream (2: the second;
                                  0: as the body in place of a stream)
  sim-header: NAME=VALUE          adds a header field
  sim-first-token-delay-ms: 100   waits this long before the first token
  sim-token-delay-ms: 10          waits this long before every further token
  sim-reset-after-chunks: 3       resets the connection (HTTP/2: the stream) after so many chunks
  sim-end-after-chunks: 3         ends after so many chunks, as if that were all
  sim-stall-after-chunks: 3       says nothing more after so many chunks
  sim-hold: NAME                  waits after the first chunk (a stream) or before the answer, until released
  sim-gzip: 1                     compresses the answer
  sim-think: tags | reasoning     shows a thought before it: between tags in the content, or in `reasoning`

Other endpoints:
  GET    /health                  200 as long as the process lives
  GET    /metrics                 vLLM's metrics
  GET    /sim/requests            what was received and sent: ?tag= and ?id= select; ?wait_for=EVENT waits until
                                  ?count= (default 1) of the selected have the event, ?timeout_ms= (default 5000)
                                  at most, and answers 408 with what there is after that
  DELETE /sim/requests            forgets them
  POST   /sim/release/NAME        releases what holds under that name, now and later

Events: headers, body_chunk, body_complete, body_aborted, response_started, chunk_sent, response_complete, reset,
client_gone.
";
