//! Words that are no names, as folded letters (`letters::words`). Each list says where its words were met.

/// Forms of address and degrees: part of how somebody is called, never of who it is.
pub(super) const TITLES: &[&str] =
    &["herr", "herrn", "frau", "fraeulein", "familie", "fam", "dr", "doktor", "prof", "professor", "dipl", "ing", "med", "mag", "mr", "mrs", "ms", "miss"];

/// Words inside surnames that are written small: "Ursula von der Leyen".
pub(super) const PARTICLES: &[&str] =
    &["von", "vom", "van", "der", "den", "de", "zu", "zur", "zum", "la", "le", "di", "da", "del", "dos", "al", "el", "ibn", "ter", "ten", "of", "und"];

/// What agents, models and telephone networks say when there is no name (incident 49; anonymous indicators: domain reference 1.7).
#[rustfmt::skip] // one word per line would hide the list
pub(super) const PLACEHOLDERS: &[&str] = &[
    "unbekannt", "unbekannte", "unbekannter", "unknown", "anonym", "anonymer", "anonyme", "anonymous", "blocked", "private", "privat", "withheld",
    "unavailable", "unterdrueckt", "unterdrueckte", "kunde", "kundin", "neukunde", "neukundin", "telefonkunde", "bestandskunde", "stammkunde",
    "stammkundin", "patient", "patientin", "anrufer", "anruferin", "anonymus", "gast", "person", "jemand", "niemand", "caller", "customer", "client",
    "user", "guest", "nutzer", "benutzer", "name", "vorname", "nachname", "familienname", "namenlos", "kein", "keine", "keinen", "ohne", "angabe",
    "angaben", "nicht", "genannt", "angegeben", "bekannt", "leer", "null", "none", "nil", "undefined", "na", "nan", "empty", "test", "tester", "testname",
    "beispiel", "platzhalter", "placeholder", "string", "xxx", "first", "last", "full", "nummer", "rufnummer", "number", "not", "provided", "given",
];

/// Whole names that language models make up for somebody without one.
pub(super) const INVENTED: &[&str] = &["john doe", "jane doe", "john smith"];

/// Days, hours and months (incident 49: "Acht Uhr" as a name). Some are surnames, too: alone they are taken for a time, beside another name for a surname.
#[rustfmt::skip] // one word per line would hide the list
pub(super) const TIMES: &[&str] = &[
    "montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonnabend", "sonntag", "montags", "dienstags", "mittwochs", "donnerstags",
    "freitags", "samstags", "sonntags", "januar", "februar", "maerz", "april", "mai", "juni", "juli", "august", "september", "oktober", "november",
    "dezember", "heute", "morgen", "uebermorgen", "gestern", "frueh", "morgens", "vormittag", "vormittags", "mittag", "mittags", "nachmittag",
    "nachmittags", "abend", "abends", "nacht", "nachts", "spaet", "jetzt", "gleich", "sofort", "halb", "viertel", "dreiviertel", "uhr", "stunde",
    "stunden", "minute", "minuten", "tag", "tage", "tagen", "woche", "wochen", "monat", "jahr", "naechste", "naechsten", "naechster", "naechstes",
    "kommende", "kommenden", "diese", "diesen", "dieser", "uebernaechste", "ab", "bis", "um", "gegen", "vor", "nach", "zwischen", "am", "im", "in", "an",
    "null", "ein", "eins", "zwei", "zwo", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwoelf", "dreizehn", "vierzehn",
    "fuenfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn", "zwanzig", "einundzwanzig", "zweiundzwanzig", "dreiundzwanzig", "dreissig",
    "fuenfunddreissig", "vierzig", "fuenfundvierzig", "fuenfzig", "fuenfundfuenfzig", "erster", "ersten", "zweiter", "zweiten", "dritter", "dritten",
    "today", "tomorrow", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
];

/// Days and months that are surnames, too: behind a form of address they are one ("Herr Freitag").
#[rustfmt::skip] // one word per line would hide the list
pub(super) const TIMES_AND_SURNAMES: &[&str] = &[
    "montag", "dienstag", "mittwoch", "freitag", "samstag", "sonntag", "maerz", "april", "mai", "august", "morgen", "abend", "frueh", "spaet", "acht",
    "zwanzig",
];

/// Words of sentences: whoever says one has not (only) said a name. None of them is a common name: "Weiß", "Will", "Du" and "Nur" are not here.
#[rustfmt::skip] // one word per line would hide the list
pub(super) const SENTENCE_WORDS: &[&str] = &[
    "ich", "sie", "wir", "ihr", "mich", "mir", "mein", "meine", "meinen", "dein", "uns", "unser", "ist", "bin", "sind", "waere", "habe", "haben", "hat",
    "haette", "hatte", "moechte", "moechten", "wuerde", "wollen", "koennen", "koennte", "soll", "sollte", "muss", "brauche", "gerne", "gern", "bitte",
    "danke", "hallo", "guten", "gute", "ja", "nein", "doch", "okay", "genau", "richtig", "falsch", "keine", "nicht", "noch", "auch", "schon", "dann",
    "wann", "was", "wer", "warum", "dass", "weil", "oder", "aber", "fuer", "mit", "bei", "ueber", "einen", "eine", "einem", "einer", "termin", "termine",
    "terminen", "buchen", "buchung", "absagen", "verschieben", "stornieren", "reservieren", "reservierung", "vereinbaren", "ahnung", "egal", "anruf",
    "telefon", "telefonnummer", "apparat", "sagen", "heisse", "tschuess", "auf", "wiederhoeren", "the", "is", "my", "please", "thanks", "yes",
    "appointment", "gmbh", "ug", "ohg", "kg", "ev",
];
