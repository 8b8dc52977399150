//! What belongs to the key's account: who it is, its event types, its webhook subscriptions. Used at set-up. Reference sections 1.4 and 3.1.

use reqwest::Method;

use super::{Access, CalcomClient, data, plain, segment};
use crate::calcom::booking::{EventType, Me, Webhook};
use crate::calcom::error::CalcomError;
use crate::calcom::request::{NewWebhook, TAKE_MAX};

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

    /// The key's user's webhooks: at most the first 250, far more than the one per account that we make.
    ///
    /// # Errors
    /// By class.
    pub async fn list_webhooks(&self, access: Access<'_>) -> Result<Vec<Webhook>, CalcomError> {
        let mut operation = plain("list webhooks", Method::GET, "/webhooks".to_owned(), None);
        operation.query = vec![("take", TAKE_MAX.to_string())];
        let answer = self.call(access, &operation).await?;
        match data(&answer).as_array() {
            Some(list) => Ok(list.iter().filter_map(Webhook::from_value).collect()),
            None => Err(operation.unreadable("not a list of webhooks", answer.status, answer.request_id)),
        }
    }

    /// Deletes a webhook.
    ///
    /// # Errors
    /// By class.
    pub async fn delete_webhook(&self, access: Access<'_>, id: &str) -> Result<(), CalcomError> {
        const NAME: &str = "delete a webhook";
        let operation = plain(NAME, Method::DELETE, format!("/webhooks/{}", segment(NAME, id)?), None);
        self.call(access, &operation).await.map(|_| ())
    }
}
