//! Which starts are free. Reference section 3.6.

use reqwest::Method;

use super::{Access, CalcomClient, Operation, data, plain, segment};
use crate::calcom::error::CalcomError;
use crate::calcom::slots::{FreeSlot, SlotQuery};

/// Slots have a version of their own, and without it they answer in a form of 2024-04-15.
const VERSION_SLOTS: &str = "2024-09-04";

impl CalcomClient {
    /// The free starts of an event type, by start.
    ///
    /// # Errors
    /// By class; an answer that cannot be read is an error, never an empty day.
    pub async fn free_slots(&self, access: Access<'_>, query: &SlotQuery) -> Result<Vec<FreeSlot>, CalcomError> {
        const NAME: &str = "list free slots";
        if let Some(uid) = &query.moved_uid {
            segment(NAME, uid)?;
        }
        let operation = Operation { version: Some(VERSION_SLOTS), query: query.to_query(), ..plain(NAME, Method::GET, "/slots".to_owned(), None) };
        let answer = self.call(access, &operation).await?;
        FreeSlot::all_of(data(&answer)).ok_or_else(|| operation.unreadable("not a list of slots", answer.status, answer.request_id))
    }
}
