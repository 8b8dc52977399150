//! The table of phrases, counted and held to its minima; and the few rules that one row cannot show.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Europe::Berlin;

use super::*;

const PHRASES: &str = include_str!("phrases.txt");

pub(super) struct Row {
    pub line: usize,
    pub now: DateTime<Utc>,
    pub phrase: &'static str,
    pub expected: &'static str,
}

pub(super) fn rows() -> Vec<Row> {
    let lines = PHRASES.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let mut cells = line.split('|').map(str::trim);
            let mut cell = || cells.next().unwrap_or_else(|| panic!("line {}: a cell is missing", index + 1));
            Row { line: index + 1, now: now(cell()), phrase: cell(), expected: cell() }
        })
        .collect()
}

/// Civil time of Berlin (of a doubled hour the first), or UTC with a final Z.
pub(super) fn now(text: &str) -> DateTime<Utc> {
    let civil = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap_or_else(|error| panic!("{text}: {error}"));
    match text.strip_suffix('Z') {
        Some(utc) => civil(utc).and_utc(),
        None => Berlin.from_local_datetime(&civil(text)).earliest().unwrap().with_timezone(&Utc),
    }
}

/// A meaning in the notation of the table.
fn written(meaning: &Meaning, with_offset: bool) -> String {
    match meaning {
        Meaning::Date(date) => format!("date {date}"),
        Meaning::Time(time) => format!("time {}", time.format("%H:%M")),
        Meaning::Moment { local, at } => {
            let offset = if with_offset { at.with_timezone(&Berlin).format(" %:z").to_string() } else { String::new() };
            assert_eq!(at.with_timezone(&Berlin).naive_local(), *local, "the instant is that of the civil time");
            format!("moment {}{offset}", local.format("%Y-%m-%d %H:%M"))
        }
        Meaning::Part { date, part } => format!("part {} {}", date.map_or_else(|| "-".to_owned(), |date| date.to_string()), part_name(*part)),
        Meaning::Range { days, times } => {
            let days = days.map_or_else(|| "-".to_owned(), |days| format!("{}..{}", days.first, days.last.map(|last| last.to_string()).unwrap_or_default()));
            let time = |time: Option<chrono::NaiveTime>| time.map(|time| time.format("%H:%M").to_string()).unwrap_or_default();
            let times = times.map_or_else(|| "-".to_owned(), |times| format!("{}..{}", time(times.from), time(times.to)));
            format!("range {days} {times}")
        }
        Meaning::Ask(Question { reason, readings }) => {
            let readings = readings.iter().map(|reading| match (reading.date, reading.time) {
                (Some(date), Some(time)) => format!(" {date}T{}", time.format("%H:%M")),
                (Some(date), None) => format!(" {date}"),
                (None, time) => format!(" {}", time.unwrap().format("%H:%M")),
            });
            format!("ask {}{}", name(reason.key()), readings.collect::<String>())
        }
        Meaning::Refuse(refusal) => format!("refuse {}", name(refusal.key())),
    }
}

fn name(key: &'static str) -> &'static str {
    key.strip_prefix("spoken_time.").unwrap()
}

const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Early => "frueh",
        Part::Forenoon => "vormittag",
        Part::Noon => "mittag",
        Part::Afternoon => "nachmittag",
        Part::Evening => "abend",
    }
}

fn has_offset(expected: &str) -> bool {
    expected.starts_with("moment") && expected.split(' ').count() == 4
}

/// Incidents 56, 57, 58, 59, 60, 62, 63, 65, 66: the rows name theirs.
#[test]
fn every_phrase_means_what_the_table_says() {
    let wrong: Vec<String> = rows()
        .iter()
        .filter_map(|row| {
            let found = written(&understand(row.phrase, row.now, Berlin), has_offset(row.expected));
            (found != row.expected).then(|| format!("line {}: {}\n    expected {}\n    found    {found}", row.line, row.phrase, row.expected))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows().len(), wrong.join("\n"));
}

/// Done 3 of the issue. Run with `--no-capture` (or `NEXTEST_SUCCESS_OUTPUT=immediate`) to see the counts.
#[test]
fn the_table_is_as_large_as_was_asked() {
    let rows = rows();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *counts.entry(row.expected.split(' ').next().unwrap()).or_default() += 1;
    }
    println!("{} phrases: {counts:?}", rows.len());
    assert!(rows.len() >= 150, "{}", rows.len());
    assert!(counts["ask"] + counts["refuse"] >= 40 && counts["time"] >= 30 && counts["range"] >= 20, "{counts:?}");
    // On and around both days on which Berlin changes its clocks.
    for day in ["2026-03-29", "2026-10-25"] {
        assert!(rows.iter().filter(|row| row.expected.contains(day)).count() >= 5, "{day}");
    }
    assert!(rows.iter().any(|row| row.expected == "refuse skipped_hour"));
    for key in Reason::ALL.iter().map(|reason| reason.key()).chain([Refusal::NoSuchDate, Refusal::NoSuchTime].map(Refusal::key)) {
        assert!(rows.iter().any(|row| row.expected.split(' ').nth(1) == Some(name(key))), "no row for {key}");
    }
}

#[test]
fn capitals_punctuation_and_transcribed_umlauts_change_nothing() {
    for row in rows() {
        let expected = understand(row.phrase, row.now, Berlin);
        let transcribed = row.phrase.replace('ä', "ae").replace('ö', "oe").replace('ü', "ue").replace('ß', "ss").replace('Ü', "UE");
        for variant in [row.phrase.to_uppercase(), format!("  {}  ", row.phrase), format!("„{}“!", row.phrase), transcribed] {
            assert_eq!(understand(&variant, row.now, Berlin), expected, "line {}: {variant}", row.line);
        }
    }
}

#[test]
fn what_is_longer_than_a_sentence_is_refused_unread() {
    let now = now("2025-10-18 10:00");
    let longest = format!("{}morgen", " ".repeat(CHARS_MAX - 6));
    assert_eq!(written(&understand(&longest, now, Berlin), false), "date 2025-10-19");
    assert_eq!(understand(&format!(" {longest}"), now, Berlin), Meaning::Refuse(Refusal::TooLong));
    for nothing in ["", "   ", "...", "bitte"] {
        assert_eq!(understand(nothing, now, Berlin), Meaning::Refuse(Refusal::NotUnderstood), "{nothing:?}");
    }
}

#[test]
fn another_zone_has_its_own_day_and_its_own_clock() {
    // Half past midnight in Berlin, half past six in the evening before in New York.
    let now = now("2025-10-18 22:30Z");
    let york = chrono_tz::America::New_York;
    assert_eq!(understand("heute", now, york), Meaning::Date(NaiveDate::from_ymd_opt(2025, 10, 18).unwrap()));
    let Meaning::Moment { at, .. } = understand("morgen um 10 Uhr", now, york) else { panic!("a moment") };
    assert_eq!(at.to_rfc3339(), "2025-10-19T14:00:00+00:00");
}

/// Every question and refusal of the table, and every reason without choices, can be spoken (Done 4 of the issue).
#[test]
fn every_question_can_be_spoken_and_names_a_next_step() {
    let today = NaiveDate::from_ymd_opt(2025, 10, 18).unwrap();
    let mut sentences: Vec<String> =
        Reason::ALL.iter().map(|reason| crate::texts::times::question(&Question { reason: *reason, readings: Vec::new() }, today)).collect();
    sentences.extend(Refusal::ALL.iter().map(|refusal| crate::texts::times::refusal(*refusal).german().to_owned()));
    for row in rows() {
        if let Meaning::Ask(question) = understand(row.phrase, row.now, Berlin) {
            sentences.push(crate::texts::times::question(&question, row.now.with_timezone(&Berlin).date_naive()));
        }
    }
    for sentence in sentences {
        assert_eq!(crate::texts::lint::faults(&sentence), [], "{sentence}");
        assert!(sentence.ends_with('?'), "{sentence}");
    }
}

#[test]
fn a_question_names_its_choices_in_words() {
    let table = [
        ("2025-10-20 10:00", "Montag", "Meinen Sie Montag, den 20. Oktober oder Montag, den 27. Oktober?"),
        ("2025-10-18 10:00", "um acht", "Meinen Sie 8 Uhr oder 20 Uhr?"),
        ("2025-10-18 10:00", "viertel vier", "Meinen Sie 15 Uhr 15, 15 Uhr 45 oder 16 Uhr 15?"),
        ("2025-10-18 10:00", "morgen 24 Uhr", "Meinen Sie Sonntag, den 19. Oktober um 0 Uhr oder Montag, den 20. Oktober um 0 Uhr?"),
        ("2025-10-18 10:00", "um zehn oder um elf", "Ich habe mehrere Zeiten gehört. Welche soll es sein: 10 Uhr oder 11 Uhr?"),
        ("2025-10-18 10:00", "nächste Woche oder Montag in acht Tagen", "Meinen Sie Montag, den 27. Oktober?"),
        ("2025-12-05 10:00", "7. November", "Das wäre erst für Samstag, den 7. November 2026. Ist das richtig?"),
        ("2025-10-13 10:00", "5.10", "Das wäre für Sonntag, den 5. Oktober 2025, und das ist schon vorbei. Meinen Sie Mittwoch, den 5. November?"),
        (
            "2025-10-18 10:00",
            "gestern",
            "Das wäre für Freitag, den 17. Oktober 2025, und das ist schon vorbei. Welcher kommende Tag und welche Uhrzeit passen Ihnen?",
        ),
        ("2025-10-18 10:00", "morgen, Montag", "Der Wochentag passt nicht zum Datum. Meinen Sie Sonntag, den 19. Oktober, oder welchen Tag?"),
        ("2025-11-05 10:00", "am 31.", "Diesen Tag gibt es in dem Monat nicht. Meinen Sie Mittwoch, den 31. Dezember?"),
    ];
    for (at, phrase, expected) in table {
        let Meaning::Ask(question) = understand(phrase, now(at), Berlin) else { panic!("{phrase}") };
        assert_eq!(crate::texts::times::question(&question, now(at).with_timezone(&Berlin).date_naive()), expected);
    }
}

#[test]
fn a_question_without_choices_has_its_own_words() {
    let today = NaiveDate::from_ymd_opt(2025, 10, 18).unwrap();
    let table = [
        (Reason::Past, "Das ist schon vorbei."),
        (Reason::Midnight, "Meinen Sie Mitternacht"),
        (Reason::Several, "Das habe ich nicht eindeutig verstanden."),
        (Reason::Contradiction, "Das habe ich nicht eindeutig verstanden."),
        (Reason::Recurring, "Ich trage gern einen Termin nach dem anderen ein."),
        (Reason::MorningOrEvening, "Um wie viel Uhr genau?"),
        (Reason::Quarter, "Um wie viel Uhr genau?"),
        (Reason::Vague, "An welchem Tag und um welche Uhrzeit"),
    ];
    for (reason, beginning) in table {
        let sentence = crate::texts::times::question(&Question { reason, readings: Vec::new() }, today);
        assert!(sentence.starts_with(beginning), "{sentence}");
    }
}

#[test]
fn a_value_is_spoken_as_people_say_it() {
    let table = [
        ("morgen", "Sonntag, der 19. Oktober"),
        ("am 16. April", "Donnerstag, der 16. April"),
        ("am 17. April", "Freitag, der 17. April 2026"),
        ("halb zehn", "9 Uhr 30"),
        ("neun Uhr fünf", "9 Uhr 05"),
        ("drei Uhr nachts", "3 Uhr nachts"),
        ("vier Uhr nachts", "4 Uhr morgens"),
        ("sechs Uhr morgens", "6 Uhr morgens"),
        ("sieben Uhr morgens", "7 Uhr"),
        ("0 Uhr 30", "0 Uhr 30"),
        ("Donnerstag, der 15. Januar um 14 Uhr 30", "Donnerstag, der 15. Januar um 14 Uhr 30"),
        ("morgen früh", "Sonntag, der 19. Oktober, am Morgen"),
        ("vormittags", "am Vormittag"),
        ("mittags", "am Mittag"),
        ("nachmittags", "am Nachmittag"),
        ("abends", "am Abend"),
        ("morgen zwischen zehn und zwölf", "Sonntag, der 19. Oktober, zwischen 10 Uhr und 12 Uhr"),
        ("Montag ab drei", "Montag, der 20. Oktober, ab 15 Uhr"),
        ("bis elf", "bis 11 Uhr"),
        ("ab Montag", "ab Montag, dem 20. Oktober"),
        ("von Montag bis Mittwoch um 10 Uhr", "von Montag, dem 20. Oktober bis Mittwoch, dem 22. Oktober, um 10 Uhr"),
        ("bis heute", "von Samstag, dem 18. Oktober bis Samstag, dem 18. Oktober"),
    ];
    let now = now("2025-10-18 10:00");
    for (phrase, expected) in table {
        let spoken = speak::value(&understand(phrase, now, Berlin), now.with_timezone(&Berlin).date_naive());
        assert_eq!(spoken.as_deref(), Some(expected), "{phrase}");
    }
    for phrase in ["um acht", "am 31.2."] {
        assert_eq!(speak::value(&understand(phrase, now, Berlin), now.with_timezone(&Berlin).date_naive()), None, "{phrase}");
    }
}

#[test]
fn no_question_offers_more_choices_than_a_caller_keeps_in_mind() {
    let Meaning::Ask(question) = understand("im November am Montag oder Dienstag", now("2025-10-18 10:00"), Berlin) else { panic!("a question") };
    assert_eq!(question.readings.len(), READINGS_MAX);
}
