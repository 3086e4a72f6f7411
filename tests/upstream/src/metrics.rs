//! What is counted, in the form and under the names of vLLM.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shapes::Usage;

/// Counters, gauges, and the places for requests that run at the same time.
#[derive(Debug)]
pub(crate) struct Metrics {
    model: String,
    places: Arc<Semaphore>,
    cache_tokens: u64,
    running: AtomicU64,
    waiting: AtomicU64,
    cached: AtomicU64,
    prompt: AtomicU64,
    generated: AtomicU64,
    succeeded: AtomicU64,
}

impl Metrics {
    pub(crate) fn new(model: &str, max_running: u16, cache_tokens: u32) -> Self {
        Self {
            model: model.to_owned(),
            places: Arc::new(Semaphore::new(usize::from(max_running))),
            cache_tokens: u64::from(cache_tokens).max(1),
            running: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            cached: AtomicU64::new(0),
            prompt: AtomicU64::new(0),
            generated: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
        }
    }

    /// Waits for a place and counts the request as running until the answer is dropped.
    pub(crate) async fn run(self: &Arc<Self>, usage: Usage) -> Running {
        let waiting = Waiting::new(self);
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        drop(waiting);
        let cached = count(usage.prompt.saturating_add(usage.completion));
        self.running.fetch_add(1, Relaxed);
        self.cached.fetch_add(cached, Relaxed);
        self.prompt.fetch_add(count(usage.prompt), Relaxed);
        Running { metrics: Arc::clone(self), cached, _place: place }
    }

    /// The metrics as Prometheus reads them.
    pub(crate) fn text(&self) -> String {
        let Self { model, running, waiting, cached, prompt, generated, succeeded, .. } = self;
        // Thousandths are exact enough for a gauge between 0 and 1.
        let thousandths = cached.load(Relaxed).saturating_mul(1000).checked_div(self.cache_tokens);
        let usage =
            f64::from(thousandths.and_then(|value| u32::try_from(value).ok()).unwrap_or(1000).min(1000))
                / 1000.0;
        let rows = [
            ("gauge", "num_requests_running", "Requests being answered.", running.load(Relaxed).to_string()),
            (
                "gauge",
                "num_requests_waiting",
                "Requests waiting for a place.",
                waiting.load(Relaxed).to_string(),
            ),
            ("gauge", "kv_cache_usage_perc", "Part of the cache in use; 1 is all.", usage.to_string()),
            ("counter", "prompt_tokens_total", "Prompt tokens read.", prompt.load(Relaxed).to_string()),
            ("counter", "generation_tokens_total", "Tokens generated.", generated.load(Relaxed).to_string()),
            (
                "counter",
                "request_success_total",
                "Requests answered to their end.",
                succeeded.load(Relaxed).to_string(),
            ),
        ];
        let lines = rows.map(|(kind, name, help, value)| {
            format!(
                "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}\nvllm:{name}{{model_name=\"{model}\"}} {value}\n"
            )
        });
        lines.concat()
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Running {
    metrics: Arc<Metrics>,
    cached: u64,
    _place: Option<OwnedSemaphorePermit>,
}

impl Running {
    /// The answer was delivered to its end.
    pub(crate) fn succeeded(&self, usage: Usage) {
        self.metrics.generated.fetch_add(count(usage.completion), Relaxed);
        self.metrics.succeeded.fetch_add(1, Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.running.fetch_sub(1, Relaxed);
        self.metrics.cached.fetch_sub(self.cached, Relaxed);
    }
}

/// Counts as waiting until dropped, also when the client gives up.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.waiting.fetch_add(1, Relaxed);
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

fn count(tokens: usize) -> u64 {
    u64::try_from(tokens).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &Metrics, name: &str) -> String {
        let start = format!("vllm:{name}{{model_name=\"m\"}} ");
        metrics.text().lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned)).unwrap()
    }

    #[tokio::test]
    async fn a_request_runs_until_it_is_dropped_and_the_next_waits_for_its_place() {
        let metrics = Arc::new(Metrics::new("m", 1, 100));
        let usage = Usage { prompt: 20, completion: 5 };
        let first = metrics.run(usage).await;
        let mut second = Box::pin(metrics.run(usage));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx))).await.is_pending()
        );
        assert_eq!(value(&metrics, "num_requests_running"), "1");
        assert_eq!(value(&metrics, "num_requests_waiting"), "1");
        assert_eq!(value(&metrics, "kv_cache_usage_perc"), "0.25");
        first.succeeded(usage);
        drop(first);
        drop(second.await);
        for (name, expected) in [
            ("num_requests_running", "0"),
            ("num_requests_waiting", "0"),
            ("kv_cache_usage_perc", "0"),
            ("prompt_tokens_total", "40"),
            ("generation_tokens_total", "5"),
            ("request_success_total", "1"),
        ] {
            assert_eq!(value(&metrics, name), expected, "{name}");
        }
    }
}
