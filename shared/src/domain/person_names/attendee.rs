//! The attendee that Cal.com gets: a name, and an e-mail address or a phone number or both, whatever is known of the caller.
//!
//! **What Cal.com asks for** (calcom reference 3.3): `name` and `timeZone` always, and `email` or `phoneNumber`. Which of them is a matter of the event type's
//! booking form, so it is a setting of the account ([`ContactRule`]), read once at onboarding:
//!
//! - `EmailRequired` (Cal.com's default): an address always goes along. Without a real one it is made of the caller's digits, or of the booking's own reference
//!   for somebody who withholds the number, at a host that can never receive mail. Never one address for everybody: a shared one made Cal.com take two people for
//!   one and answer with the first one's booking (incidents 7 and 51, domain reference 4.4).
//! - `PhoneRequired` (phone-only accounts; the form's e-mail field is hidden or optional): the number must be there, the address goes along only if it is real.
//!   Who withholds the number cannot be booked there online: the caller is asked for a number, else called back.
//! - `Either`: a real address or a number, else the made-up address.
//!
//! A phone number goes only if it is valid E.164 (incident 19: a placeholder was sent as a number). A third person's appointment carries the caller's address:
//! that is who gets the confirmation. If that customer already holds another booking at the very same time, a made-up address keeps the two apart.

use std::fmt;

use super::{EmailAddress, PersonName};
use crate::domain::phone::E164;

/// The host of addresses that we make up: reserved for ever (RFC 2606), so that no mail can leave.
pub const PLACEHOLDER_EMAIL_HOST: &str = "@no-mail.invalid";
/// Who comes, when nobody said a name and the customer has none.
const NAMELESS: &str = "Telefonkunde";

/// Addresses that carry nothing but a number: ours, and the ones that Cal.com makes for phone-only bookings.
const PLACEHOLDER_HOSTS: [&str; 2] = ["@sms.cal.com", PLACEHOLDER_EMAIL_HOST];

/// Which contact the booking form of an event type demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContactRule {
    #[default]
    EmailRequired,
    PhoneRequired,
    Either,
}

impl ContactRule {
    pub const ALL: [Self; 3] = [Self::EmailRequired, Self::PhoneRequired, Self::Either];

    /// The literal of `provider_accounts.contact_rule`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::EmailRequired => "email_required",
            Self::PhoneRequired => "phone_required",
            Self::Either => "either",
        }
    }

    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.literal() == literal)
    }
}

/// What is known of who comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttendeeFacts<'a> {
    /// Told in this call, screened.
    pub name_told: Option<&'a PersonName>,
    /// The customer's own name.
    pub name_stored: Option<&'a str>,
    /// Told in this call.
    pub email_told: Option<&'a EmailAddress>,
    /// The customer's own address, as it is stored.
    pub email_stored: Option<&'a str>,
    /// The number that calls.
    pub phone: Option<&'a E164>,
    /// The customer holds another booking that begins at the same time.
    pub booked_at_that_time: bool,
    pub contact_rule: ContactRule,
}

/// Who comes, as Cal.com is told. Prints masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Attendee {
    pub name: String,
    pub email: Option<String>,
    pub phone: Option<E164>,
}

impl fmt::Debug for Attendee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attendee").field("email", &self.email.is_some()).field("phone", &self.phone.is_some()).finish_non_exhaustive()
    }
}

/// Why there can be no attendee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttendeeError {
    /// Ask for a number, or promise a callback.
    #[error("this account books with a phone number only, and the caller shows none")]
    PhoneMissing,
}

/// Makes the attendee. `reference`: what makes this booking one of its kind (the intent's token), for the address of somebody without any; only its letters and
/// digits are used.
///
/// # Errors
/// The account demands what the caller does not show.
pub fn attendee(facts: &AttendeeFacts<'_>, reference: &str) -> Result<Attendee, AttendeeError> {
    let stored = facts.email_stored.and_then(EmailAddress::parse).filter(|address| !is_placeholder_email(address.as_str()));
    // the customer's own first: what a model wrote down in this call may be misheard
    let real = stored.as_ref().or(facts.email_told).filter(|_| !facts.booked_at_that_time).map(|address| address.as_str().to_owned());
    let made_up = || match facts.phone {
        Some(phone) if !facts.booked_at_that_time => format!("{}{PLACEHOLDER_EMAIL_HOST}", phone.as_str().trim_start_matches('+')),
        _ => format!("termin-{}{PLACEHOLDER_EMAIL_HOST}", reference.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()),
    };
    let email = match (facts.contact_rule, facts.phone) {
        (ContactRule::PhoneRequired, None) => return Err(AttendeeError::PhoneMissing),
        (ContactRule::PhoneRequired, Some(_)) => real,
        (ContactRule::Either, Some(_)) if !facts.booked_at_that_time => real,
        (ContactRule::Either | ContactRule::EmailRequired, _) => Some(real.unwrap_or_else(made_up)),
    };
    let stored_name = facts.name_stored.map(str::trim).filter(|name| !name.is_empty());
    let name = facts.name_told.map(PersonName::as_str).or(stored_name).unwrap_or(NAMELESS).to_owned();
    Ok(Attendee { name, email, phone: facts.phone.cloned() })
}

/// Whether an address was made up, by us or by Cal.com: nobody reads mail there.
#[must_use]
pub fn is_placeholder_email(address: &str) -> bool {
    let address = address.trim().to_lowercase();
    PLACEHOLDER_HOSTS.iter().any(|host| address.ends_with(host))
}

#[cfg(test)]
mod tests {
    use super::ContactRule::{Either, EmailRequired, PhoneRequired};
    use super::*;
    use crate::domain::person_names::{Reserved, screen, spoken_email};

    const DIGITS: &str = "4915112345678@no-mail.invalid";
    const REFERENCE: &str = "termin-0192ab@no-mail.invalid";

    /// What the table says of a caller: shows the number, own address, told address.
    fn made(rule: ContactRule, shown: bool, stored: Option<&str>, told: Option<&str>) -> Result<(Option<String>, bool), AttendeeError> {
        let phone = E164::parse("+4915112345678").unwrap();
        let told = told.and_then(spoken_email);
        let facts =
            AttendeeFacts { email_stored: stored, email_told: told.as_ref(), phone: shown.then_some(&phone), contact_rule: rule, ..AttendeeFacts::default() };
        attendee(&facts, "0192-AB").map(|attendee| (attendee.email, attendee.phone.is_some()))
    }

    /// Incidents 7, 19, 51: whatever is known of a caller, what goes out is complete, valid, and nobody else's.
    #[test]
    fn every_caller_becomes_an_attendee_that_the_account_takes() {
        let own = Some("erika@gmx.de");
        let told = Some("theo at web punkt de");
        let ours = Some("4915112345678@no-mail.invalid");
        let theirs = Some("4915112345678@sms.cal.com");
        let table = [
            (EmailRequired, true, own, told, Ok((Some("erika@gmx.de"), true))),
            (EmailRequired, true, own, None, Ok((Some("erika@gmx.de"), true))),
            (EmailRequired, true, None, told, Ok((Some("theo@web.de"), true))),
            (EmailRequired, true, None, None, Ok((Some(DIGITS), true))),
            (EmailRequired, true, ours, told, Ok((Some("theo@web.de"), true))),
            (EmailRequired, true, theirs, None, Ok((Some(DIGITS), true))),
            (EmailRequired, true, Some(""), None, Ok((Some(DIGITS), true))),
            (EmailRequired, true, Some("kaputt"), None, Ok((Some(DIGITS), true))),
            (EmailRequired, false, None, told, Ok((Some("theo@web.de"), false))),
            (EmailRequired, false, None, None, Ok((Some(REFERENCE), false))),
            (EmailRequired, false, None, Some("keine"), Ok((Some(REFERENCE), false))),
            (PhoneRequired, true, own, None, Ok((Some("erika@gmx.de"), true))),
            (PhoneRequired, true, None, told, Ok((Some("theo@web.de"), true))),
            (PhoneRequired, true, None, None, Ok((None, true))),
            (PhoneRequired, true, theirs, None, Ok((None, true))),
            (PhoneRequired, false, own, told, Err(AttendeeError::PhoneMissing)),
            (PhoneRequired, false, None, None, Err(AttendeeError::PhoneMissing)),
            (Either, true, own, None, Ok((Some("erika@gmx.de"), true))),
            (Either, true, None, None, Ok((None, true))),
            (Either, false, None, told, Ok((Some("theo@web.de"), false))),
            (Either, false, None, None, Ok((Some(REFERENCE), false))),
        ];
        for (rule, shown, stored, told, expected) in table {
            let expected = expected.map(|(email, phone)| (email.map(str::to_owned), phone));
            assert_eq!(made(rule, shown, stored, told), expected, "{rule:?}, number shown: {shown}, stored {stored:?}, told {told:?}");
        }
    }

    /// Incident 7: the same attendee at the same time gets the booking that is already there.
    #[test]
    fn a_second_booking_at_the_same_time_has_an_address_of_its_own() {
        let phone = E164::parse("+4915112345678").unwrap();
        for (rule, expected) in [(EmailRequired, Some(REFERENCE)), (Either, Some(REFERENCE)), (PhoneRequired, None)] {
            let facts = AttendeeFacts {
                email_stored: Some("erika@gmx.de"),
                phone: Some(&phone),
                booked_at_that_time: true,
                contact_rule: rule,
                ..AttendeeFacts::default()
            };
            assert_eq!(attendee(&facts, "0192-AB").unwrap().email.as_deref(), expected, "{rule:?}");
        }
    }

    /// Incident 48: the name that was told goes to the appointment; the customer's own is only read.
    #[test]
    fn the_name_told_comes_before_the_stored_one() {
        let told = screen("Max Mustermann", &Reserved::default(), None).unwrap();
        let table = [
            (Some(&told), Some("Paula Weidner"), "Max Mustermann"),
            (None, Some(" Paula Weidner "), "Paula Weidner"),
            (None, Some("  "), NAMELESS),
            (None, None, NAMELESS),
        ];
        for (name_told, name_stored, expected) in table {
            let facts = AttendeeFacts { name_told, name_stored, ..AttendeeFacts::default() };
            assert_eq!(attendee(&facts, "x").unwrap().name, expected);
        }
    }

    #[test]
    fn made_up_addresses_are_known_again_and_attendees_never_print() {
        assert!(is_placeholder_email(DIGITS) && is_placeholder_email(" 49151@SMS.cal.com ") && !is_placeholder_email("erika@gmx.de"));
        let facts = AttendeeFacts { name_stored: Some("Paula Weidner"), email_stored: Some("paula@gmx.de"), ..AttendeeFacts::default() };
        assert_eq!(format!("{:?}", attendee(&facts, "x").unwrap()), "Attendee { email: true, phone: false, .. }");
        assert!(EmailAddress::parse(DIGITS).is_some() && EmailAddress::parse(REFERENCE).is_some(), "Cal.com checks the form");
    }
}
