//! Finds in a text what must not stand in it: the companies' canaries, and uids of bookings (who knows one can cancel it, calcom reference 3.2).

use std::collections::HashSet;

use uuid::Uuid;

use super::super::record::Record;

/// A uid of Cal.com has so many characters, so a uid is found by cutting a text into words of that length.
const UID_CHARS: usize = 22;
/// Of a line, on either side of what was found in it.
const SHOWN_CHARS: usize = 150;
const BLOT: &str = "█████";

pub struct Needles {
    /// Whose, and the text.
    pub canaries: Vec<(Uuid, String)>,
    uids: HashSet<String>,
}

impl Needles {
    pub fn of<'a>(record: &Record, uids: impl Iterator<Item = &'a str>) -> Self {
        let canaries = record.companies.iter().flat_map(|company| company.canaries.iter().map(|text| (company.id, text.clone()))).collect();
        Self { canaries, uids: uids.filter(|uid| uid.len() == UID_CHARS).map(str::to_owned).collect() }
    }

    /// The kind of each secret that stands in the text, with the line, which is shortened and blotted: a report must not spread what it reports.
    pub fn found_in(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (_, canary) in &self.canaries {
            if let Some(line) = text.lines().find(|line| line.contains(canary.as_str())) {
                found.push(format!("a canary in {}", self.blotted(line, canary)));
            }
        }
        if let Some(uid) = words(text).find(|word| self.uids.contains(*word)) {
            let line = text.lines().find(|line| line.contains(uid)).unwrap_or_default();
            found.push(format!("a booking's uid in {}", self.blotted(line, uid)));
        }
        found
    }

    /// What stands around the secret, without it and without any other canary.
    fn blotted(&self, line: &str, secret: &str) -> String {
        let at = line.find(secret).unwrap_or_default();
        let before: String = line[..at].chars().rev().take(SHOWN_CHARS).collect::<Vec<_>>().into_iter().rev().collect();
        let after: String = line[at + secret.len()..].chars().take(SHOWN_CHARS).collect();
        let shown = format!("…{before}{BLOT}{after}…").replace(secret, BLOT);
        let shown = self.canaries.iter().fold(shown, |shown, (_, canary)| shown.replace(canary.as_str(), BLOT));
        let uids: Vec<String> = words(&shown).filter(|word| self.uids.contains(*word)).map(str::to_owned).collect();
        uids.iter().fold(shown, |shown, uid| shown.replace(uid.as_str(), BLOT))
    }

    /// Canaries of other companies, for one company's rows.
    pub fn of_others(&self, company: Uuid) -> Vec<String> {
        self.canaries.iter().filter(|(owner, _)| *owner != company).map(|(_, text)| text.clone()).collect()
    }
}

/// Whatever has the length of a uid.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() == UID_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_and_uids_are_found_and_not_spread() {
        let uid = "sm6bhSFd8qhjn4ZbxYe3gU";
        let needles = Needles { canaries: vec![(Uuid::nil(), "Amselwald".to_owned())], uids: HashSet::from([uid.to_owned()]) };
        let found = needles.found_in(&format!("nothing here\n{{\"name\":\"Jürgen Amselwaldb\"}}\nGET /bookings/{uid}/cancel"));
        assert_eq!(found, ["a canary in …{\"name\":\"Jürgen █████b\"}…", "a booking's uid in …GET /bookings/█████/cancel…"]);
        assert!(needles.found_in("Amsel wald, sm6bhSFd8qhjn4ZbxYe3gU2").is_empty());
    }
}
