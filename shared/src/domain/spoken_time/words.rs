//! The vocabulary: which word is which token. Data only, in transcribed form (ä = ae, ß = ss, lower case); numbers in words are `numbers`.
//!
//! A word that stands nowhere here makes the whole expression not understood: it may be the one that turns the meaning ("außer", "vielleicht nicht").

use chrono::Weekday;

use super::meaning::Part;
use super::tokens::{Relative, Third, Token, Unit};

/// Words without meaning for time.
const FILLERS: &str = "der die das den dem des an zu zum zur es ist waere haette haetten wuerde moechte moechten will wollen koennte koennten kann geht ginge passt \
     ich wir mir uns bitte gern gerne einen eine eines ne nur wann was sie haben hat kommen vorbeikommen nehmen machen buchen vereinbaren mal noch doch auch also dann ja okay ok gut hm aeh aehm lieber besser liebsten \
     vielleicht termin punkt puenktlich genau exakt als wie etwas gleich direkt uhrzeit datum fuer wenn waers danke t";

/// Words of one form.
#[rustfmt::skip]
const WORDS: &[(&str, Token)] = &[
    ("heute", Token::Plus(0)), ("morgen", Token::Morgen), ("uebermorgen", Token::Plus(2)), ("ueberuebermorgen", Token::Plus(3)),
    ("gestern", Token::Plus(-1)), ("vorgestern", Token::Plus(-2)),
    ("montag", Token::Weekday(Weekday::Mon)), ("dienstag", Token::Weekday(Weekday::Tue)), ("mittwoch", Token::Weekday(Weekday::Wed)),
    ("donnerstag", Token::Weekday(Weekday::Thu)), ("freitag", Token::Weekday(Weekday::Fri)), ("samstag", Token::Weekday(Weekday::Sat)),
    ("sonnabend", Token::Weekday(Weekday::Sat)), ("sonntag", Token::Weekday(Weekday::Sun)),
    ("januar", Token::Month(1)), ("jaenner", Token::Month(1)), ("jan", Token::Month(1)), ("februar", Token::Month(2)), ("feber", Token::Month(2)),
    ("feb", Token::Month(2)), ("maerz", Token::Month(3)), ("april", Token::Month(4)), ("apr", Token::Month(4)), ("mai", Token::Month(5)),
    ("juni", Token::Month(6)), ("juno", Token::Month(6)), ("juli", Token::Month(7)), ("julei", Token::Month(7)), ("august", Token::Month(8)),
    ("aug", Token::Month(8)), ("september", Token::Month(9)), ("sept", Token::Month(9)), ("sep", Token::Month(9)), ("oktober", Token::Month(10)),
    ("okt", Token::Month(10)), ("november", Token::Month(11)), ("nov", Token::Month(11)), ("dezember", Token::Month(12)), ("dez", Token::Month(12)),
    ("heiligabend", Token::Feast(24, 12)), ("silvester", Token::Feast(31, 12)), ("neujahr", Token::Feast(1, 1)), ("nikolaus", Token::Feast(6, 12)),
    ("tag", Token::Unit(Unit::Day)), ("tage", Token::Unit(Unit::Day)), ("tagen", Token::Unit(Unit::Day)),
    ("woche", Token::Unit(Unit::Week)), ("wochen", Token::Unit(Unit::Week)), ("monat", Token::Unit(Unit::Month)), ("monate", Token::Unit(Unit::Month)),
    ("monaten", Token::Unit(Unit::Month)), ("monats", Token::Unit(Unit::Month)), ("jahr", Token::Unit(Unit::Year)), ("jahre", Token::Unit(Unit::Year)),
    ("jahren", Token::Unit(Unit::Year)), ("jahres", Token::Unit(Unit::Year)), ("stunde", Token::Unit(Unit::Hour)), ("stunden", Token::Unit(Unit::Hour)),
    ("minute", Token::Unit(Unit::Minute)), ("minuten", Token::Unit(Unit::Minute)), ("viertelstunde", Token::QuarterHours(1)),
    ("dreiviertelstunde", Token::QuarterHours(3)), ("anderthalb", Token::Halves(3)), ("eineinhalb", Token::Halves(3)), ("zweieinhalb", Token::Halves(5)),
    ("wochenende", Token::Weekend), ("anfang", Token::Third(Third::First)), ("mitte", Token::Third(Third::Middle)), ("ende", Token::Third(Third::Last)),
    ("wochenanfang", Token::WeekThird(Third::First)), ("wochenmitte", Token::WeekThird(Third::Middle)),
    ("in", Token::In), ("im", Token::In), ("innerhalb", Token::In), ("um", Token::At), ("am", Token::On), ("so", Token::So),
    ("uhr", Token::Oclock), ("h", Token::Oclock), ("viertel", Token::Quarter), ("dreiviertel", Token::ThreeQuarters),
    ("nach", Token::After), ("vor", Token::Before), ("ab", Token::From), ("von", Token::From), ("vom", Token::From), ("bis", Token::Until),
    ("zwischen", Token::Between), ("und", Token::And), ("oder", Token::Or), ("nein", Token::Or), ("nee", Token::Or), ("beziehungsweise", Token::Or),
    ("nicht", Token::Not), ("ausser", Token::Not), ("fruehestens", Token::From), ("spaetestens", Token::Until),
    ("gegen", Token::About), ("ungefaehr", Token::About), ("circa", Token::About), ("zirka", Token::About), ("ca", Token::About), ("etwa", Token::About),
    ("rund", Token::About), ("kurz", Token::Shortly), ("mitternacht", Token::Midnight),
    ("frueh", Token::Part(Part::Early)), ("fruehe", Token::Part(Part::Early)), ("morgens", Token::Part(Part::Early)), ("fruehmorgens", Token::Part(Part::Early)),
    ("vormittag", Token::Part(Part::Forenoon)), ("vormittags", Token::Part(Part::Forenoon)),
    ("mittag", Token::Part(Part::Noon)), ("mittags", Token::Part(Part::Noon)), ("mittagszeit", Token::Part(Part::Noon)),
    ("nachmittag", Token::Part(Part::Afternoon)), ("nachmittags", Token::Part(Part::Afternoon)),
    ("abend", Token::Part(Part::Evening)), ("abends", Token::Part(Part::Evening)), ("nacht", Token::Night), ("nachts", Token::Night),
    ("jede", Token::Recurring), ("jeden", Token::Recurring), ("jeder", Token::Recurring), ("jedes", Token::Recurring), ("woechentlich", Token::Recurring),
    ("taeglich", Token::Recurring), ("monatlich", Token::Recurring), ("regelmaessig", Token::Recurring), ("immer", Token::Recurring),
    ("moeglich", Token::Soon), ("moeglichst", Token::Soon), ("schnellstmoeglich", Token::Soon), ("baldmoeglichst", Token::Soon), ("asap", Token::Soon), ("sofort", Token::Soon), ("jetzt", Token::Soon),
    ("frueheste", Token::Soon), ("fruehester", Token::Soon), ("fruehesten", Token::Soon), ("frei", Token::Soon), ("freie", Token::Soon), ("freien", Token::Soon), ("freier", Token::Soon),
    ("sobald", Token::Haste), ("bald", Token::Haste), ("schnell", Token::Haste), ("zeitnah", Token::Haste),
    ("irgendwann", Token::Vague), ("egal", Token::Vague), ("jederzeit", Token::Vague), ("demnaechst", Token::Vague), ("weihnachten", Token::Vague),
    ("ostern", Token::Vague), ("pfingsten", Token::Vague), ("ferien", Token::Vague), ("urlaub", Token::Vague), ("arbeit", Token::Vague),
    ("weihnachtstag", Token::Vague), ("weihnachtsfeiertag", Token::Vague), ("karfreitag", Token::Vague), ("ostersonntag", Token::Vague),
    ("ostermontag", Token::Vague), ("himmelfahrt", Token::Vague), ("pfingstmontag", Token::Vague), ("feierabend", Token::Vague), ("schule", Token::Vague), ("mittagspause", Token::Vague),
];

/// Adjectives: the stem, with any ending.
const STEMS: &[(&str, Token)] = &[
    ("naechst", Token::Relative(Relative::Next)),
    ("kommend", Token::Relative(Relative::Next)),
    ("dies", Token::Relative(Relative::This)),
    ("uebernaechst", Token::Relative(Relative::AfterNext)),
    ("letzt", Token::Relative(Relative::Last)),
    ("vergangen", Token::Relative(Relative::Last)),
    ("vorig", Token::Relative(Relative::Last)),
    ("halb", Token::Half),
    ("frueh", Token::Sooner),
    ("spaet", Token::Later),
    ("naechstmoeglich", Token::Soon),
];

const ENDINGS: [&str; 6] = ["", "e", "en", "er", "es", "em"];

/// Whether the word says nothing about time.
pub(super) fn is_filler(word: &str) -> bool {
    FILLERS.split_whitespace().any(|filler| filler == word)
}

/// The tokens of a word that is not a number: one, or two for "Montagnachmittag".
pub(super) fn tokens_of(word: &str) -> Option<Vec<Token>> {
    if let Some(token) = one_form(word).or_else(|| adjective(word)) {
        return Some(vec![token]);
    }
    compound(word)
}

fn one_form(word: &str) -> Option<Token> {
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, token)| *token)
}

fn adjective(word: &str) -> Option<Token> {
    let fits = |stem: &str| word.strip_prefix(stem).is_some_and(|ending| ENDINGS.contains(&ending));
    STEMS.iter().find(|(stem, _)| fits(stem)).map(|(_, token)| *token)
}

/// "Montagnachmittag", "Dienstagmorgen"; "montags" is a habit, no day.
fn compound(word: &str) -> Option<Vec<Token>> {
    let weekdays = WORDS.iter().filter(|(_, token)| matches!(token, Token::Weekday(_)));
    let (rest, weekday) = weekdays.filter_map(|(name, token)| Some((word.strip_prefix(name)?, *token))).next()?;
    match (rest, one_form(rest)) {
        ("s", _) => Some(vec![Token::Recurring]),
        (_, Some(part @ (Token::Part(_) | Token::Night | Token::Morgen))) => Some(vec![weekday, part]),
        _ => None,
    }
}
