//! I11: a company that Cal.com throttles does not stop the others. Measured where it shows whatever else goes on: how long, while one company rested, a caller of another one waited
//! and Cal.com heard of no booking of any other company; against the same look at the time just before. A killed process, a frozen server or a backlog stops both
//! alike; a dispatch that waits for the throttled one stops the others whenever somebody rests.
//!
//! Pure, but for where it reads. Called by the auditor.

use chrono::{DateTime, TimeDelta, Utc};

use super::evidence::Evidence;
use super::findings::Findings;
use crate::calcom_stand_in::FaultKind;

/// Half of the rest: of one of five seconds two and a half. A fair dispatch differs from the time before by chance, in both directions.
const SHARE_MAX: f64 = 0.5;
/// A shorter rest is over before anybody can be held up by it.
const REST_MIN: TimeDelta = TimeDelta::seconds(3);
/// Of fewer rests one restart decides.
const RESTS_MIN: usize = 5;
/// So many looks at a time without a rest tell what is usual.
const USUAL_MIN: usize = 3;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Span {
    fn meets(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }

    /// As long as this one, just before it.
    fn before(self) -> Self {
        Self { from: self.from - (self.until - self.from), until: self.from }
    }
}

/// Somebody's, by the key's name.
struct Of<'a, T> {
    key: &'a str,
    what: T,
}

/// What one look is about.
struct Scene<'a> {
    /// Times in which a credential rested because of a 429.
    rests: Vec<Of<'a, Span>>,
    /// Callers with a wish to book, from the wish until it was sent.
    waits: Vec<Of<'a, Span>>,
    /// Bookings that Cal.com was asked for.
    asked: Vec<Of<'a, DateTime<Utc>>>,
}

pub fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let scene = Scene::of(evidence);
    let pairs = scene.pairs();
    if pairs.len() < RESTS_MIN {
        return findings;
    }
    findings.looked_at(pairs.len());
    let (held_up, usual) = scene.median_of(pairs);
    if held_up - usual > SHARE_MAX {
        findings.violated(format!(
            "while one company was throttled, callers of the others waited and nothing was sent for {:.0} % of the time, instead of {:.0} % just before",
            100.0 * held_up,
            100.0 * usual
        ));
    }
    findings
}

impl<'a> Scene<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let key = |name: &'a Option<String>| name.as_deref();
        let rest = |request: &'a crate::calcom_stand_in::RequestEntry| match request.fault {
            Some(FaultKind::Throttle429 { reset_seconds }) => {
                Some(Of { key: key(&request.key_name)?, what: Span { from: request.at, until: request.at + TimeDelta::seconds(reset_seconds) } })
            }
            _ => None,
        };
        let asks = evidence.requests.iter().filter(|request| request.method == "POST" && request.path.ends_with("/bookings"));
        let waits = evidence.rows.intents.iter().filter(|intent| intent.op == "create" && intent.lane == "live");
        Self {
            rests: evidence.requests.iter().filter_map(rest).filter(|rest| rest.what.until - rest.what.from >= REST_MIN).collect(),
            waits: waits
                .filter_map(|intent| {
                    // of one that was sent again only the last time is known: then it did not wait all the while
                    let until = intent.sent_at.filter(|_| intent.sent_count == 1)?;
                    Some(Of { key: evidence.key_of(intent.credential_id)?, what: Span { from: intent.created_at, until } })
                })
                .collect(),
            asked: asks.filter_map(|request| Some(Of { key: key(&request.key_name)?, what: request.at })).collect(),
        }
    }

    /// Of every rest in which others waited: how much of it they were held up, and how much of the time before, if nobody rested then.
    fn pairs(&self) -> Vec<(f64, Option<f64>)> {
        let rests = self.rests.iter().filter_map(|rest| {
            let held_up = self.held_up(rest.what, rest.key)?;
            let before = rest.what.before();
            let is_clean = !self.rests.iter().any(|other| other.what.meets(before));
            Some((held_up, is_clean.then(|| self.held_up(before, rest.key).unwrap_or_default())))
        });
        rests.collect()
    }

    /// The longest time in which somebody waited whose company did not rest (and is not `besides`), and no such company's booking was asked for, as a share. Nothing: nobody waited.
    fn held_up(&self, span: Span, besides: &str) -> Option<f64> {
        let rests = |key: &str| key == besides || self.rests.iter().any(|rest| rest.key == key && rest.what.meets(span));
        let waits: Vec<Span> = self.waits.iter().filter(|wait| wait.what.meets(span) && !rests(wait.key)).map(|wait| wait.what).collect();
        if waits.is_empty() {
            return None;
        }
        let mut asked: Vec<DateTime<Utc>> =
            self.asked.iter().filter(|asked| span.from < asked.what && asked.what < span.until && !rests(asked.key)).map(|asked| asked.what).collect();
        asked.sort();
        asked.push(span.until);
        let mut longest = TimeDelta::zero();
        let mut from = span.from;
        for until in asked {
            let waited = waits.iter().map(|wait| wait.until.min(until) - wait.from.max(from)).max().unwrap_or_default();
            longest = longest.max(waited);
            from = until;
        }
        Some(longest.as_seconds_f64() / (span.until - span.from).as_seconds_f64())
    }

    /// The middle one inside, and the middle one before. Somebody rested nearly all the time: then nothing is taken off.
    fn median_of(&self, pairs: Vec<(f64, Option<f64>)>) -> (f64, f64) {
        let (inside, before): (Vec<f64>, Vec<Option<f64>>) = pairs.into_iter().unzip();
        let before: Vec<f64> = before.into_iter().flatten().collect();
        (median(inside), if before.len() >= USUAL_MIN { median(before) } else { 0.0 })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds((1000.0 * seconds) as i64)
    }

    fn span(from: f64, until: f64) -> Span {
        Span { from: at(from), until: at(until) }
    }

    /// Every minute one company rests for twelve seconds; a caller of another one rings each second and is sent `delay` seconds later, but nobody in the first `held` seconds of a rest.
    fn scene(delay: f64, held: f64) -> Scene<'static> {
        let mut scene = Scene { rests: Vec::new(), waits: Vec::new(), asked: Vec::new() };
        for minute in 1..8 {
            let rest = 60.0 * f64::from(minute);
            scene.rests.push(Of { key: "throttled", what: span(rest, rest + 12.0) });
        }
        for second in 0..500 {
            let rang = f64::from(second) + 0.1;
            let sent = rang + delay;
            let rest = 60.0 * (sent / 60.0).floor();
            let sent = if rest > 0.0 { sent.max(rest + held) } else { sent };
            scene.waits.push(Of { key: "other", what: span(rang, sent) });
            scene.asked.push(Of { key: "other", what: at(sent) });
            // who rests waits, and counts for nothing
            scene.waits.push(Of { key: "throttled", what: span(rang, rang + 30.0) });
        }
        scene
    }

    fn difference(scene: &Scene<'_>) -> f64 {
        let pairs = scene.pairs();
        assert_eq!(pairs.len(), 7);
        let (inside, before) = scene.median_of(pairs);
        inside - before
    }

    #[test]
    fn a_backlog_is_not_unfair_and_a_dispatch_that_waits_for_the_throttled_is() {
        assert!(difference(&scene(0.3, 0.0)) < 0.1);
        assert!(difference(&scene(40.0, 0.0)) < 0.1, "everybody waits for forty seconds, all the time");
        assert!(difference(&scene(0.3, 12.0)) > 0.8);
        assert!(difference(&scene(0.3, 7.5)) > SHARE_MAX, "held up for seven seconds only");
    }

    #[test]
    fn a_killed_server_in_two_rests_decides_nothing_and_where_nobody_waited_nothing_is_looked_at() {
        let mut killed = scene(0.3, 0.0);
        let quiet = |asked: &Of<'_, DateTime<Utc>>| asked.what > at(180.0) && asked.what < at(190.0) || asked.what > at(240.0) && asked.what < at(250.0);
        killed.asked.retain(|asked| !quiet(asked));
        assert!(difference(&killed) < 0.1);
        let nobody = Scene { waits: Vec::new(), ..scene(0.3, 0.0) };
        assert!(nobody.pairs().is_empty());
    }
}
