//! Invented people: a customer's name, number and address follow from the seed and the place alone, so that nothing of them is kept in memory.
//! Not real: numbers and addresses lead nowhere. Called by `plan` and `contents`.
use super::chance::Chance;

const FIRST: [&str; 32] = [
    "Anna", "Ben", "Carla", "David", "Elif", "Felix", "Greta", "Hannes", "Ida", "Jonas", "Klara", "Leon", "Mila", "Nico", "Olivia", "Paul", "Rosa", "Samir",
    "Tilda", "Umut", "Vera", "Willi", "Yara", "Zoe", "Theo", "Paula", "Emre", "Lotte", "Oskar", "Frida", "Karim", "Jette",
];

/// A surname, and what speech recognition makes of it (incident 50).
const LAST: [(&str, &str); 24] = [
    ("Wegner", "Wekner"),
    ("Brandner", "Brantner"),
    ("Schmidt", "Schmitt"),
    ("Hoffmann", "Hofmann"),
    ("Meyer", "Maier"),
    ("Krüger", "Krieger"),
    ("Bauer", "Baur"),
    ("Fischer", "Fisher"),
    ("Becker", "Bäcker"),
    ("Lehmann", "Lemann"),
    ("Köhler", "Kehler"),
    ("Weidner", "Weitner"),
    ("Jansen", "Janssen"),
    ("Petersen", "Pedersen"),
    ("Sommer", "Somer"),
    ("Vogt", "Vogd"),
    ("Haas", "Hass"),
    ("Yilmaz", "Jilmas"),
    ("Nowak", "Novak"),
    ("Richter", "Richta"),
    ("Seidel", "Saidel"),
    ("Thiele", "Tiele"),
    ("Ludwig", "Ludwich"),
    ("Pfeiffer", "Feifer"),
];

/// What was taken for a name (incident 49).
pub const NO_NAMES: [&str; 3] = ["Unbekannt", "Acht Uhr", "Anonym"];

/// Every fourth place among the customers of each company is the same person in all of them.
const SHARED_EVERY: u64 = 4;
/// One in so many withholds the number.
const ANONYMOUS_EVERY: u64 = 37;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// As speech recognition hears it.
    pub misheard: String,
    /// E.164; who withholds the number has none.
    pub phone: Option<String>,
    pub email: Option<String>,
    /// The same person is a customer of the other companies, too.
    pub shared: bool,
}

/// The customer at a place of a company.
pub fn person(seed: u64, companies: usize, company: usize, place: u64) -> Person {
    let shared = place.is_multiple_of(SHARED_EVERY) && companies > 1;
    let anonymous = place % ANONYMOUS_EVERY == 5;
    // slot 0 of a place is that of the shared person
    let slot = if shared { 0 } else { company as u64 + 1 };
    let mut chance = Chance::of(&[seed, 1, slot, place]);
    let (first, (last, heard)) = (chance.pick(&FIRST), chance.pick(&LAST));
    let number = place * (companies as u64 + 1) + slot;
    let ascii = |text: &str| text.to_lowercase().replace('ü', "ue").replace('ö', "oe").replace('ä', "ae");
    Person {
        name: format!("{first} {last}"),
        misheard: format!("{first} {heard}"),
        phone: (!anonymous).then(|| phone(seed, number)),
        email: (!anonymous && chance.percent(70)).then(|| format!("{}.{}.{number}@kunden.example", ascii(first), ascii(last))),
        shared: shared && !anonymous,
    }
}

/// A mobile number; different for different `number` below 10^9.
pub fn phone(seed: u64, number: u64) -> String {
    const SPAN: u64 = 1_000_000_000;
    // the factor is prime to the span, so no two numbers meet
    format!("+4915{:09}", (number % SPAN * 387_420_489 + seed % SPAN) % SPAN)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_customers_of_a_company_share_a_number_and_some_of_different_companies_do() {
        let of = |company| (0..3000).filter_map(|place| person(3, 20, company, place).phone).collect::<Vec<_>>();
        let (one, other) = (of(0), of(7));
        let set: HashSet<_> = one.iter().collect();
        assert_eq!(set.len(), one.len());
        let both = other.iter().filter(|phone| set.contains(phone)).count();
        assert!((700..=750).contains(&both), "{both}");
    }
}
