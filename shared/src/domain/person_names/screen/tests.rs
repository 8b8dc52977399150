//! Texts that were taken for names, and names that look like something else.

use super::*;

const STAFF: &[&str] = &["Rieke Sommerfeld", "Dr. Anna Beispiel"];
const AGENTS: &[&str] = &["Clara"];
const COMPANIES: &[&str] = &["Friseur Müller", "Haarwerk", "Filiale Mitte"];
const SERVICES: &[&str] = &["Herrenhaarschnitt", "Waschen und Föhnen"];

fn reserved() -> Reserved<'static> {
    Reserved { staff: STAFF, agents: AGENTS, companies: COMPANIES, services: SERVICES }
}

fn taken(text: &str) -> Result<String, Rejection> {
    screen(text, &reserved(), None).map(PersonName::into_string)
}

#[test]
fn names_are_taken_as_they_are_said() {
    let table = [
        ("Theo Brandner", "Theo Brandner"),
        ("  Jürgen   Groß ", "Jürgen Groß"),
        ("Müller", "Müller"),
        ("Herr Müller", "Herr Müller"),
        ("Frau Dr. Schmidt", "Frau Dr. Schmidt"),
        ("Müller-Lüdenscheidt", "Müller-Lüdenscheidt"),
        ("Ursula von der Leyen", "Ursula von der Leyen"),
        ("Maria del Carmen Fernández de la Cruz", "Maria del Carmen Fernández de la Cruz"),
        ("O’Neill", "O’Neill"),
        ("J. Weiß", "J. Weiß"),
        ("Du Li", "Du Li"),
        ("Nur Şahin", "Nur Şahin"),
        ("Иван Петров", "Иван Петров"),
        ("ju\u{308}rgen groß", "Ju\u{308}rgen Groß"),
        ("peter müller", "Peter Müller"),
        ("anna-lena von berg", "Anna-Lena von Berg"),
        ("Müller, Hans", "Hans Müller"),
        ("„Theo Brandner“", "Theo Brandner"),
        ("Theo Brandner.", "Theo Brandner"),
        ("Max Mustermann", "Max Mustermann"),
    ];
    for (text, expected) in table {
        assert_eq!(taken(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_people_say_around_a_name_is_taken_off() {
    let table = [
        ("Mein Name ist Theo Brandner", "Theo Brandner"),
        ("mein name ist theo brandner", "Theo Brandner"),
        ("Guten Tag, mein Name ist Theo Brandner", "Theo Brandner"),
        ("Ich heiße Brandner", "Brandner"),
        ("Hier ist Brandner am Apparat", "Brandner"),
        ("Brandner hier", "Brandner"),
        ("Brandner, bitte", "Brandner"),
        ("Theo Brandner ist mein Name", "Theo Brandner"),
        ("auf den Namen Brandner", "Brandner"),
        ("für Anna Brandner", "Anna Brandner"),
        ("Ich bin der Theo", "Theo"),
        ("Fürst", "Fürst"),
        ("Hierling", "Hierling"),
        ("Halloren", "Halloren"),
    ];
    for (text, expected) in table {
        assert_eq!(taken(text).as_deref(), Ok(expected), "{text}");
    }
}

fn refused(expected: Rejection, texts: &[&str]) {
    for text in texts.iter().flat_map(|line| line.split('|')) {
        assert_eq!(taken(text), Err(expected), "{text}");
    }
}

/// Incident 49: a placeholder, a time, the agent's own name and a staff member's name stood in the calendar as customers.
#[test]
fn placeholders_times_staff_agents_and_companies_are_no_customers() {
    refused(
        Rejection::Placeholder,
        &[
            "Unbekannt|unbekannter Anrufer|Anonymer Kunde|anonymous|None|null|undefined|N/A|Kunde|Frau|Herr Dr.|kein Name|Name nicht bekannt|First Last|test",
            "X|J. K.|xxx|Aaa|John Doe|Ohne Angabe|Customer Name",
        ],
    );
    refused(
        Rejection::Time,
        &[
            "Acht Uhr|acht|halb zehn|Viertel nach drei|morgen|Morgen Vormittag|Montag|am Freitag|nächste Woche Mittwoch|heute|Januar|fünfzehnter Uhr",
            "um vierzehn Uhr dreißig|Frau acht Uhr|Herr Übermorgen|tomorrow",
        ],
    );
    refused(Rejection::Staff, &["Rieke Sommerfeld|Sommerfeld, Rieke|Frau Sommerfeld|Rieke|rieke|Anna|Frau Dr. Anna Beispiel|Beispiel Anna"]);
    refused(Rejection::Agent, &["Clara|clara|Frau Clara"]);
    refused(Rejection::Company, &["Friseur Müller|Salon Friseur Müller|Haarwerk|Filiale Mitte"]);
    refused(Rejection::Service, &["Herrenhaarschnitt|herrenhaarschnitt"]);
}

#[test]
fn sentences_numbers_templates_and_nothing_are_no_names() {
    refused(
        Rejection::Sentence,
        &["Ich möchte einen Termin|Theo Brandner und ich brauche einen Termin|ja genau|Termin buchen|keine Ahnung|Haarwerk GmbH|a bb cc dd ee ff gg hh"],
    );
    refused(Rejection::NotLetters, &["+4915112345678|call_001|theo@example.org|Theo Brandner 2|Müller/Schmidt|Theo & Anna|Theo, Anna, Max"]);
    refused(Rejection::Template, &["{{customer_name}}|<name>|[Name]|${name}"]);
    refused(Rejection::Empty, &["|  |\u{0}|...|„“"]);
    assert_eq!(taken(&"Ab ".repeat(34)), Err(Rejection::TooLong));
    assert_eq!(taken(&format!("{} Xy", "a".repeat(97))).map(|name| name.len()), Ok(100));
}

#[test]
fn a_name_that_is_also_a_time_or_a_colleagues_is_a_name_beside_another() {
    for name in
        ["Peter Freitag", "Herr Freitag", "Frau Mai", "Clara Schmidt", "Anna Müller", "Rieke Beispiel", "Weiß", "Petra Acht", "Mai Nguyen", "Lisa Haarwerk"]
    {
        assert_eq!(taken(name).as_deref(), Ok(name), "{name}");
    }
}

#[test]
fn a_customer_who_is_called_like_a_colleague_is_believed() {
    let known = |name| screen(name, &reserved(), Some("Anna Beispiel")).map(PersonName::into_string);
    assert_eq!(known("Anna Beispiel").as_deref(), Ok("Anna Beispiel"));
    assert_eq!(known("Frau Anna Beispiel").as_deref(), Ok("Frau Anna Beispiel"));
    assert_eq!(known("Anna"), Err(Rejection::Staff));
    assert_eq!(known("Rieke Sommerfeld"), Err(Rejection::Staff));
    assert_eq!(screen("Frau", &reserved(), Some("")), Err(Rejection::Placeholder));
}

#[test]
fn every_reason_has_a_name_of_its_own_and_tells_nothing_of_the_text() {
    let mut names: Vec<_> = Rejection::ALL.iter().map(|reason| reason.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Rejection::ALL.len());
    for text in ["Theo Brandner 2", "Ich bin Theo Brandner", "Rieke"] {
        let reason = taken(text).unwrap_err();
        assert!(!format!("{reason} {reason:?}").contains("Theo") && !format!("{reason}").contains("Rieke"));
    }
}
