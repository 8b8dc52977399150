//! Who calls, as far as it is known: a customer by the calling number, somebody new, or somebody who withholds the number; and how each is greeted.
//!
//! Not proof of anything told: only the signed call's number decides. Called by call_inbound and by the functions about the caller.

use chrono::{DateTime, Duration, Timelike, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::policies::{Loyalty, VipTier};
use shared::store::customers::{self, Profile, Upcoming};
use shared::store::tx::CompanyTx;
use shared::texts::{Sentence, daytime};
use uuid::Uuid;

use crate::runtime::handler::Failure;

/// Whoever was not here for so long is greeted accordingly.
const LONG_AGO: Duration = Duration::days(180);

/// The caller.
#[derive(Debug)]
pub enum Known {
    Customer(Box<Customer>),
    /// A number that no customer has.
    New,
    /// The number is withheld: nobody is recognised, whatever name is told.
    Anonymous,
}

/// A customer with what desk says about them.
#[derive(Debug)]
pub struct Customer {
    pub profile: Profile,
    pub score: i32,
    /// By the score, at least what the company set.
    pub tier: VipTier,
    pub upcoming: Vec<Upcoming>,
}

impl Known {
    /// # Errors
    /// Only what the store says.
    pub async fn of(tx: &mut CompanyTx, customer_id: Option<Uuid>, has_number: bool, now: DateTime<Utc>) -> Result<Self, Failure> {
        let Some(customer_id) = customer_id else { return Ok(if has_number { Self::New } else { Self::Anonymous }) };
        let profile = customers::profile(tx, customer_id, now).await?;
        let upcoming = customers::upcoming(tx, customer_id, now).await?;
        let whole = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let loyalty = Loyalty {
            appointments: whole(profile.appointments),
            no_shows: whole(profile.no_shows),
            since: Some(profile.since),
            revenue_minor: profile.revenue_minor,
        };
        let score = loyalty.score(now);
        let tier = VipTier::of_score(score).max(VipTier::parse(&profile.vip_tier).unwrap_or_default());
        Ok(Self::Customer(Box::new(Customer { profile, score, tier, upcoming })))
    }

    /// The words of the reference (2.2).
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Customer(_) => "existing_customer",
            Self::New => "new_customer",
            Self::Anonymous => "anonymous",
        }
    }

    #[must_use]
    pub fn tier(&self) -> VipTier {
        self.customer().map_or(VipTier::None, |customer| customer.tier)
    }

    #[must_use]
    pub fn customer(&self) -> Option<&Customer> {
        match self {
            Self::Customer(customer) => Some(customer),
            Self::New | Self::Anonymous => None,
        }
    }

    /// The first sentence: by time of day, tier and how long ago the last visit is.
    #[must_use]
    pub fn greeting(&self, now: DateTime<Utc>, zone: Tz) -> String {
        let customer = self.customer();
        let name = customer.and_then(|customer| customer.profile.name.as_deref());
        let long_ago = customer.and_then(|customer| customer.profile.last_visit).is_some_and(|visit| now - visit > LONG_AGO);
        let sentence = match (self, name) {
            (Self::Anonymous, _) => Sentence::GreetAnonymous {},
            (_, None) => Sentence::GreetNew {},
            (_, Some(name)) if self.tier() >= VipTier::Gold => Sentence::GreetVip { name },
            (_, Some(name)) if long_ago => Sentence::GreetAfterLong { name },
            (_, Some(name)) => Sentence::GreetKnown { name },
        };
        format!("{} {}", daytime(now.with_timezone(&zone).hour()), sentence.german())
    }

    /// The caller's next appointment in words; blank if there is none.
    #[must_use]
    pub fn next_appointment(&self) -> String {
        self.customer().and_then(|customer| customer.upcoming.first()).map(in_words).unwrap_or_default()
    }
}

/// The zone of an appointment's own branch.
#[must_use]
pub fn zone_of(upcoming: &Upcoming) -> Tz {
    local_time::zone(&upcoming.time_zone).unwrap_or(Tz::Europe__Berlin)
}

/// "Donnerstag, den 26. November um 10 Uhr, Beratung".
#[must_use]
pub fn in_words(upcoming: &Upcoming) -> String {
    let when = local_time::spoken(upcoming.starts_at, zone_of(upcoming));
    match &upcoming.service {
        Some(service) => format!("{when}, {service}"),
        None => when,
    }
}

/// An appointment as the agent reads it.
#[must_use]
pub fn fields(upcoming: &Upcoming) -> Value {
    let local = upcoming.starts_at.with_timezone(&zone_of(upcoming));
    json!({
        "appointment_number": upcoming.number, "starts_at": local.format("%Y-%m-%d %H:%M").to_string(), "date": local.format("%d.%m.%Y").to_string(),
        "time": local.format("%H:%M").to_string(), "service": upcoming.service, "staff": upcoming.staff, "status": upcoming.status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(name: Option<&str>, tier: VipTier, last_visit_days: Option<i64>) -> Known {
        let profile = Profile {
            name: name.map(str::to_owned),
            vip_tier: tier.literal().to_owned(),
            language: "de".to_owned(),
            since: now(),
            appointments: 0,
            no_shows: 0,
            revenue_minor: 0,
            last_visit: last_visit_days.map(|days| now() - Duration::days(days)),
            favourite_service: None,
            favourite_count: 0,
            favourite_staff: None,
        };
        Known::Customer(Box::new(Customer { profile, score: 0, tier, upcoming: Vec::new() }))
    }

    fn now() -> DateTime<Utc> {
        "2026-11-20T09:00:00Z".parse().unwrap()
    }

    /// Issue 4: by tier, by how long ago, by the time of day; never a name for somebody whose number nobody sees.
    #[test]
    fn each_caller_is_greeted_as_known() {
        let name = Some("Erika Musterfrau");
        let table = [
            (Known::Anonymous, "Darf ich fragen, wie Sie heißen?"),
            (Known::New, "Schön, dass Sie anrufen. Wie"),
            (customer(None, VipTier::Platinum, None), "Schön, dass Sie anrufen. Wie"),
            (customer(name, VipTier::None, Some(10)), "Schön, dass Sie wieder anrufen, Erika Musterfrau."),
            (customer(name, VipTier::Silver, Some(180)), "Schön, dass Sie wieder anrufen, Erika Musterfrau."),
            (customer(name, VipTier::Silver, Some(181)), "wieder einmal melden, Erika Musterfrau."),
            (customer(name, VipTier::Gold, Some(400)), "Schön, Sie wieder zu hören, Erika Musterfrau."),
        ];
        for (known, expected) in table {
            let said = known.greeting(now(), Tz::Europe__Berlin);
            assert!(said.starts_with("Guten Morgen! ") && said.contains(expected), "{said}");
            assert_eq!(shared::texts::lint::faults(&said), [], "{said}");
        }
        assert!(Known::New.greeting(now() + Duration::hours(9), Tz::Europe__Berlin).starts_with("Guten Abend!"));
    }
}
