//! What belongs to the key's account: who it is, its event types, its webhook subscriptions. Used at set-up. Reference sections 1.4 and 3.1.

use reqwest::Method;

use super::{Access, CalcomClient, data, plain};
use crate::calcom::booking::{EventType, Me, Webhook};
use crate::calcom::error::CalcomError;
use crate::calcom::request::NewWebhook;

impl CalcomClient {
    /// An event type.
    ///
    /// # Errors
    /// By class.
    pub async fn event_type(&self, access: Access<'_>, id: i64) -> Result<EventType, CalcomError> {
        let mut operation = plain("get an event type", Method::GET, format!("/event-types/{id}"), None);
        operation.version = Some(&self.version_event_types);
        let answer = self.call(access, &operation).await?;
        EventType::from_value(data(&answer)).ok_or_else(|| operation.unreadable("not an event type", answer.status, answer.request_id))
    }

    /// The owner of the key.
    ///
    /// # Errors
    /// By class.
    pub async fn me(&self, access: Access<'_>) -> Result<Me, CalcomError> {
        let answer = self.call(access, &plain("ask who we are", Method::GET, "/me".to_owned(), None)).await?;
        Ok(Me::from_value(data(&answer)))
    }

    /// Subscribes to the key's user's webhooks.
    ///
    /// # Errors
    /// By class; class `Conflict` if the URL is subscribed already.
    pub async fn create_webhook(&self, access: Access<'_>, new: &NewWebhook) -> Result<Webhook, CalcomError> {
        let operation = plain("create a webhook", Method::POST, "/webhooks".to_owned(), Some(new.to_json()));
        let answer = self.call(access, &operation).await?;
        Webhook::from_value(data(&answer)).ok_or_else(|| operation.unreadable("not a webhook", answer.status, answer.request_id))
    }
}
