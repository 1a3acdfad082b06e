//! Slices of ordered run lists.
use std::sync::Arc;
use tokio::sync::broadcast;
use crate::ChangeSet;
/// The cached orders.
pub struct RunTables;
impl RunTables {
    pub(crate) fn new(_: broadcast::Receiver<Arc<ChangeSet>>) -> Self { Self }
}
