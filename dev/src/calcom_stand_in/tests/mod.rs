//! The stand-in against the fixtures and the rules of reference/calcom.md, in process and on real sockets.

mod answers;
mod faults;
mod felt;
mod listing;
mod replica;
mod seats;
mod walk;
mod webhook_faults;
mod webhooks;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::{ApiKey, CalcomStandIn, Config, EventType, Host, Limits, Webhook, webhook_id};
use crate::stand_in::clock::StandInClock;
use crate::stand_in::server::LoopbackServer;

pub const SECRET: &str = "whsec_test_0123456789";
pub const KEY: &str = "cal_test_key";

/// The receiver of webhooks: keeps what it got.
pub struct Receiver {
    pub url: String,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    _server: LoopbackServer,
}

impl Receiver {
    async fn start() -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let keep = got.clone();
        let router = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            keep.lock().unwrap().push((headers, body));
            async { axum::http::StatusCode::NO_CONTENT }
        });
        let server = LoopbackServer::start(([127, 0, 0, 1], 0).into(), router).await.unwrap();
        Self { url: format!("{}/hook", server.base_url()), got, _server: server }
    }

    pub fn got(&self) -> Vec<(HeaderMap, String)> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(headers, body)| (headers.clone(), String::from_utf8(body.to_vec()).unwrap())).collect()
    }

    pub fn triggers(&self) -> Vec<String> {
        let trigger = |body: &str| serde_json::from_str::<Value>(body).unwrap()["triggerEvent"].as_str().map(str::to_owned);
        self.got().iter().filter_map(|(_, body)| trigger(body)).collect()
    }
}

pub struct World {
    pub calcom: CalcomStandIn,
    pub receiver: Receiver,
    pub http: reqwest::Client,
}

impl World {
    /// The salon of the fixtures on 2026-06-30, noon UTC.
    pub async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let receiver = Receiver::start().await;
        let clock = StandInClock::following(|| "2026-06-30T12:00:00Z".parse().unwrap());
        let calcom = CalcomStandIn::start(Config { limits, clock, ..Config::default() }).await.unwrap();
        calcom.add_host(host(4711, "Rieke Sommerfeld", "rieke@praxis-muster.example", "praxis-muster"));
        calcom.add_host(host(4712, "Anna Beispiel", "anna@praxis-muster.example", "anna"));
        calcom.add_event_type(haircut());
        calcom.add_api_key(ApiKey { key: KEY.to_owned(), name: "salon".to_owned(), user_id: Some(4711), rate_per_window: None });
        calcom.add_webhook(Webhook {
            id: webhook_id(),
            user_id: Some(4711),
            event_type_id: None,
            subscriber_url: receiver.url.clone(),
            secret: Some(SECRET.to_owned()),
            triggers: Vec::new(),
            active: true,
        });
        Self { calcom, receiver, http: reqwest::Client::new() }
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.calcom.api_url());
        let request = self.http.post(url).bearer_auth(KEY).header("cal-api-version", "2024-08-13").json(&body);
        answered(request).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(path, "2024-08-13").await
    }

    pub async fn get_as(&self, path: &str, version: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.calcom.api_url());
        answered(self.http.get(url).bearer_auth(KEY).header("cal-api-version", version)).await
    }

    /// Books and gives the uid.
    pub async fn book(&self, start: &str) -> String {
        let (status, body) = self.post("/bookings", order(start)).await;
        assert_eq!(status, 201, "{body}");
        body["data"]["uid"].as_str().unwrap().to_owned()
    }
}

pub async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

pub fn host(id: i64, name: &str, email: &str, username: &str) -> Host {
    Host { id, name: name.to_owned(), email: email.to_owned(), username: username.to_owned(), time_zone: Tz::Europe__Berlin }
}

pub fn haircut() -> EventType {
    serde_json::from_value(json!({"id": 1320, "slug": "herrenhaarschnitt", "title": "Herrenhaarschnitt", "length": 30,
        "hosts": [4711], "description": "Waschen, schneiden, föhnen", "location": "Hauptstraße 1, 10115 Berlin"}))
    .unwrap()
}

/// The order behind fixture 01, as text because the order of its metadata keys matters.
pub fn order(start: &str) -> Value {
    json!({"start": start, "eventTypeId": 1320,
        "attendee": {"name": "Jörg Müller", "phoneNumber": "+4915112345678", "timeZone": "Europe/Berlin", "language": "de"},
        "bookingFieldsResponses": {"notes": "Bitte Maschine 6 mm"},
        "metadata": {"source": "retell"}})
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn fixture(name: &str) -> String {
    let path = format!("{}/../tests/fixtures/calcom/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

pub fn fixture_json(name: &str) -> Value {
    serde_json::from_str(&fixture(name)).unwrap()
}
