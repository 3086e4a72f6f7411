//! Hears of what other processes commit.

use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc, time::Duration};

use tokio::{sync::Notify, time};
use tokio_postgres::AsyncMessage;
use tracing::{debug, warn};

use super::{Address, StoreError, silence};

/// Rings for each notification, on a connection of its own; when that is lost, another one is opened. Whenever one
/// is open it rings too, since nobody knows what was missed.
pub(super) async fn follow(address: Address, bell: Arc<Notify>) {
    let (mut wait, mut was_open) = (SHORTEST, true);
    loop {
        let mut is_open = false;
        let Err(problem) = listen(&address, &bell, &mut is_open).await;
        if is_open || was_open {
            warn!(%problem, "notifications of the store are lost; changes are found by asking");
            wait = SHORTEST;
        }
        was_open = is_open;
        time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(LONGEST);
    }
}

async fn listen(address: &Address, bell: &Notify, is_open: &mut bool) -> Result<Infallible, StoreError> {
    let (client, mut connection) = address.open().await?;
    let statement = format!("LISTEN {CHANNEL}");
    let mut listening = pin!(time::timeout(super::PATIENCE, client.batch_execute(&statement)));
    loop {
        tokio::select! {
            done = &mut listening, if !*is_open => {
                done.map_err(|_| silence())??;
                *is_open = true;
                debug!("notifications of the store are heard");
                bell.notify_one();
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(_))) => bell.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(StoreError::Away("the connection was closed".into())),
            },
        }
    }
}

/// The channel that commits are told on.
pub(super) const CHANNEL: &str = "weir";

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
