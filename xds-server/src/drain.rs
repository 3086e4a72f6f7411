//! `weir drain`: takes an Envoy out of service without cutting what it is answering.
//!
//! ```text
//! readiness fails ──► connections are told to close ──► no request is active, or the deadline ──► quit, if asked
//! ```

mod envoy;

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use tokio::time::{self, Instant};

use envoy::Envoy;
pub use envoy::{AdminError, Problem};

/// What `weir drain` is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where Envoy's own admin interface is.
    pub admin: SocketAddr,
    /// How long requests are waited for.
    pub deadline: Duration,
    /// How long to wait although nothing is active, so that load balancers notice that the node is not ready.
    pub at_least: Duration,
    /// How often the active requests are counted.
    pub poll: Duration,
    /// Whether Envoy is to end afterwards.
    pub quit: bool,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every request had its answer.
    Clean,
    /// So many requests were still active at the deadline.
    Cut(u64),
}

/// Drains an Envoy, and tells its progress on `out`.
pub async fn drain(options: Options, out: &mut impl Write) -> Result<Outcome, DrainError> {
    let envoy = Envoy::new(options.admin);
    envoy.post("/healthcheck/fail").await?;
    envoy.post("/drain_listeners?graceful&skip_exit").await?;
    writeln!(out, "Envoy at {} is no longer ready, and tells connections to close", options.admin)?;
    let outcome = wait(&envoy, options, out).await?;
    if options.quit {
        envoy.post("/quitquitquit").await?;
    }
    match outcome {
        Outcome::Clean => writeln!(out, "drained: nothing was cut")?,
        Outcome::Cut(left) => {
            let end = if options.quit { "cut" } else { "left: they are cut when Envoy ends" };
            writeln!(out, "the deadline has passed: {left} active {end}")?;
        }
    }
    Ok(outcome)
}

async fn wait(envoy: &Envoy, options: Options, out: &mut impl Write) -> Result<Outcome, DrainError> {
    let start = Instant::now();
    let mut told = None;
    loop {
        let active = envoy.active_requests().await?;
        if told != Some(active) {
            writeln!(out, "active requests: {active}")?;
            told = Some(active);
        }
        let waited = start.elapsed();
        if active == 0 && waited >= options.at_least {
            return Ok(Outcome::Clean);
        }
        let left = options.deadline.saturating_sub(waited);
        if left.is_zero() {
            return Ok(if active == 0 { Outcome::Clean } else { Outcome::Cut(active) });
        }
        time::sleep(options.poll.min(left)).await;
    }
}

/// Why an Envoy could not be drained.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// Envoy's admin interface fails.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Nobody reads the progress any more.
    #[error(transparent)]
    Output(#[from] io::Error),
}
