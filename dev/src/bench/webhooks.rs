//! Distinct Cal.com webhooks from one fixture: 2 KB each for ingress, and whole bookings for the workers. Not signed here.
//! Called by `load`, `ingress` and `booking`.
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The body size that the issue names.
pub const BODY_BYTES: usize = 2048;
/// Cal.com's uids have 22 characters.
const UID_LEN: usize = 22;
const UID_SLOT: &str = "bbbbbbbbbbbbbbbbbbbbbb";
const FIXTURE: &str = include_str!("../../../tests/fixtures/calcom/02-booking-created-ui.json");
/// Two hosts take turns, so that no two bookings overlap and no review is opened.
const HOSTS: [i64; 2] = [4711, 4712];
const SLOT_MINUTES: i64 = 30;

fn fixture() -> Value {
    serde_json::from_str(FIXTURE).expect("the fixture is JSON: a test reads it")
}

/// One body with a hole for the uid: making the next one is a copy of 22 bytes.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    uid_at: usize,
}

impl Template {
    /// Exactly [`BODY_BYTES`] long: form labels and calendar are left out, the notes are filled up.
    pub fn of_two_kilobytes() -> Self {
        let mut event = fixture();
        event["payload"]["uid"] = json!(UID_SLOT);
        event["payload"]["responses"] = json!({});
        event["payload"]["destinationCalendar"] = json!([]);
        let missing = BODY_BYTES.saturating_sub(event.to_string().len());
        event["payload"]["additionalNotes"] = json!("n".repeat(missing));
        let text = event.to_string();
        let uid_at = text.find(UID_SLOT).expect("the slot was put in above");
        Self { bytes: text.into_bytes(), uid_at }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the uid of that number into a copy of [`Template::bytes`].
    pub fn fill(&self, body: &mut [u8], number: u64) {
        body[self.uid_at..self.uid_at + UID_LEN].copy_from_slice(uid(number).as_bytes());
    }
}

fn uid(number: u64) -> String {
    format!("b{number:021}")
}

/// The body of the booking of that number: its own uid, attendee and time, 48 a day and host.
pub fn booking(number: u32, first: DateTime<Utc>) -> Vec<u8> {
    let mut event = fixture();
    let turn = usize::try_from(number).unwrap_or_default() % HOSTS.len();
    let starts = first + Duration::minutes(SLOT_MINUTES * i64::from(number) / 2);
    let starts = if turn == 0 { starts } else { starts - Duration::minutes(SLOT_MINUTES / 2) };
    let text = |at: DateTime<Utc>| json!(at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let (name, email) = (format!("Besuch Nummer {number}"), format!("besuch-{number}@example.org"));
    let payload = &mut event["payload"];
    payload["uid"] = json!(uid(number.into()));
    payload["bookingId"] = json!(100_000 + number);
    payload["startTime"] = text(starts);
    payload["endTime"] = text(starts + Duration::minutes(SLOT_MINUTES));
    payload["organizer"]["id"] = json!(HOSTS[turn]);
    payload["attendees"][0]["name"] = json!(name);
    payload["attendees"][0]["email"] = json!(email);
    payload["responses"] = json!({});
    event.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_template_is_a_booking_of_two_kilobytes_with_its_own_uid() {
        let template = Template::of_two_kilobytes();
        let mut body = template.bytes().to_vec();
        template.fill(&mut body, 42);
        assert_eq!(body.len(), BODY_BYTES);
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["triggerEvent"], "BOOKING_CREATED");
        assert_eq!(event["payload"]["uid"], uid(42));
    }

    #[test]
    fn no_two_bookings_of_one_host_overlap() {
        let first = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for number in 0..200 {
            let event: Value = serde_json::from_slice(&booking(number, first)).unwrap();
            let payload = &event["payload"];
            let starts = DateTime::parse_from_rfc3339(payload["startTime"].as_str().unwrap()).unwrap();
            assert_eq!((starts.with_timezone(&Utc) - first).num_minutes() % SLOT_MINUTES, 0);
            assert!(taken.insert((payload["organizer"]["id"].as_i64(), starts)));
        }
    }
}
