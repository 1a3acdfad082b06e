//! All that the page can ask: one command for the whole command list, one for live events.

use std::sync::Arc;

use cairn_app::dto::{CommandError, ErrorCode, LiveEvent};
use serde_json::Value;
use tauri::{State, ipc::Channel};
use tokio::sync::broadcast::error::RecvError;

use crate::host::Session;

/// Runs the named command of `cairn-app`.
#[tauri::command]
pub async fn call(
    session: State<'_, Arc<Session>>,
    name: String,
    args: Value,
) -> Result<Value, CommandError> {
    let app = session.app().await;
    // In a task of its own, so that a panic becomes an answer instead of a call that never ends.
    let work = tokio::spawn(async move { cairn_app::commands::call(&app, &name, args).await });
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a command broke off");
        Err(CommandError {
            hint: Some("Try again. If it happens again, report it with the detail.".to_owned()),
            detail: Some(error.to_string()),
            ..CommandError::new(ErrorCode::Internal, "Something went wrong inside Cairn")
        })
    })
}

/// Sends live events from now on, until the page is left.
#[tauri::command]
pub async fn listen(
    session: State<'_, Arc<Session>>,
    channel: Channel<LiveEvent>,
) -> Result<(), CommandError> {
    let mut events = session.app().await.listen();
    let forwarding = tokio::spawn(async move {
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => LiveEvent::Resync,
                Err(RecvError::Closed) => break,
            };
            if channel.send(event).is_err() {
                break;
            }
        }
    });
    session.add_listener(forwarding.abort_handle());
    Ok(())
}
