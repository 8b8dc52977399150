//! The work that flows while processes are stopped: every role has its share, and none waits for another's.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Weekday;
use dev::calcom_stand_in::sign::sign_calcom;
use serde_json::json;
use tests::web_bookings::WebBookings;
use tests::world::ahead;
use tests::{World, fixtures, http};
use tokio::task::JoinSet;

/// Web bookings a second, half of them moved or cancelled at once; a debug build on two loaded cores must keep up.
const WEB_PER_SECOND: u32 = 40;
/// Visitors at a time: more than five seconds' worth would wait.
const VISITORS_MAX: usize = 200;
/// Callers a second who only ring, and hang up: work for `desk` and `calls`.
const CALLERS_PER_SECOND: u32 = 4;
/// Half hours of a day that callers book.
const SLOTS_A_DAY: usize = 14;
pub const SALON: &str = "+493023125042";

/// What the senders know.
#[derive(Default)]
pub struct Sent {
    pub done: AtomicBool,
    pub web: AtomicUsize,
    /// Cal.com's uids whose webhook was acknowledged, and what became of them.
    acknowledged: Mutex<BTreeSet<String>>,
    pub cancelled: AtomicUsize,
    pub wishes: AtomicUsize,
    pub calls: AtomicUsize,
}

impl Sent {
    fn goes_on(&self) -> bool {
        !self.done.load(Ordering::SeqCst)
    }

    pub fn acknowledge(&self, uid: String) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(uid);
    }

    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A web booking that nobody else sends.
    pub fn next_web(&self) -> usize {
        self.web.fetch_add(1, Ordering::SeqCst)
    }
}

/// The n-th beat of so many a second: the pace of the load, not a wait for anything.
async fn beat(began: tokio::time::Instant, n: u32, per_second: u32) {
    tokio::time::sleep_until(began + Duration::from_secs(1) * n / per_second).await;
}

/// Sent once, as Cal.com does; only a 2xx counts.
async fn is_taken(url: &str, body: Vec<u8>) -> bool {
    http::try_post(url, "x-cal-signature-256", &sign_calcom(fixtures::CALCOM_SECRET, &body), body).await.is_ok_and(|answer| answer.accepted())
}

/// One visitor: books; every fourth moves, every fourth cancels.
async fn visitor(url: &str, sent: &Sent, n: usize) {
    let bookings = WebBookings::default();
    if !is_taken(url, bookings.body(n)).await {
        return;
    }
    sent.acknowledge(WebBookings::uid(n));
    if n % 4 == 1 && is_taken(url, bookings.moved(n)).await {
        sent.acknowledge(WebBookings::moved_uid(n));
    }
    if n % 4 == 2 && is_taken(url, bookings.cancelled(n)).await {
        sent.cancelled.fetch_add(1, Ordering::SeqCst);
    }
}

/// Web bookings to both ingresses in turn.
pub async fn web(urls: &[String], sent: &Sent) {
    let began = tokio::time::Instant::now();
    let visitors = futures_util::stream::unfold(0, |n| async move {
        beat(began, n, WEB_PER_SECOND).await;
        sent.goes_on().then_some((n, n + 1))
    });
    futures_util::StreamExt::for_each_concurrent(visitors, VISITORS_MAX, |_| async move {
        let n = sent.next_web();
        visitor(&urls[n % urls.len()], sent, n).await;
    })
    .await;
}

/// Callers who ring, hear the greeting and hang up.
pub async fn rings(world: &World, sent: &Sent) {
    let (began, mut ringing) = (tokio::time::Instant::now(), JoinSet::new());
    for n in 0.. {
        beat(began, n, CALLERS_PER_SECOND).await;
        if !sent.goes_on() {
            break;
        }
        let mut call = world.retell.inbound("+4915112345678", SALON);
        sent.calls.fetch_add(1, Ordering::SeqCst);
        ringing.spawn(async move {
            for answer in [call.ring().await, call.start().await, call.end().await] {
                assert!(answer.is_success(), "the ingress that is never stopped takes everything: {}", answer.status);
            }
        });
    }
    ringing.join_all().await;
}

/// The n-th half hour that callers want: date and time as they say it.
fn slot(n: usize) -> (String, String) {
    let (day, half) = (n / SLOTS_A_DAY, u32::try_from(n % SLOTS_A_DAY).unwrap());
    let weekday = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri][day % 5];
    let (_, date, time) = ahead(7 + 7 * i64::try_from(day / 5).unwrap(), weekday, 9 + half / 2, 30 * (half % 2));
    (date, time)
}

/// Callers one after the other, each with a number and slots of its own: all book, every third moves, every third cancels.
pub async fn phone(world: &World, sent: &Sent) {
    for n in 0.. {
        if !sent.goes_on() {
            return;
        }
        let mut call = world.retell.inbound(&format!("+4915112{n:06}"), SALON);
        let mut say = async |function: &str, arguments| {
            let told = call.function(function, arguments).await;
            assert_eq!(told.status, 200, "a caller always hears a sentence: {}", told.body);
        };
        let ((date, time), (new_date, new_time)) = (slot(2 * n), slot(2 * n + 1));
        sent.wishes.fetch_add(1, Ordering::SeqCst);
        say("book_appointment", json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
        match n % 3 {
            1 => say("reschedule_appointment", json!({ "new_date": new_date, "new_time": new_time, "bestaetigung": true })).await,
            2 => say("cancel_appointment", json!({})).await,
            _ => {}
        }
        assert!(call.end().await.is_success());
        sent.calls.fetch_add(1, Ordering::SeqCst);
    }
}
