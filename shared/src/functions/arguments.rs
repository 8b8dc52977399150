//! Every argument that a function may have: its names in English and German, its form, and how the agent is told of it.
//!
//! The decoder (`wire::arguments`) reads by these names and nothing else. What no model may fill in (whose call it is, which company, which customer) is in
//! [`NEVER_READ`]: it may be there, and nobody looks at it (incident 37).

use crate::texts::Key;

/// One argument, the same in every function that has it.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Canonical name first, then aliases in English and German. The first that carries a value is taken.
    pub names: &'static [&'static str],
    pub form: Form,
    /// For the agent, in German.
    pub description: &'static str,
    /// What the caller is asked when it is missing or of no use.
    pub question: Key,
    /// Names of the arguments that this one makes superfluous: a datetime is a date and a time.
    pub covers: &'static [&'static str],
}

/// What an argument must be. Models write numbers as texts and texts as numbers: both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Up to 200 characters.
    Text,
    /// Up to 1000 characters, longer ones are cut: notes, reasons.
    LongText,
    /// A date or a time, spoken or written: text, understood by the domain's grammar.
    Spoken,
    /// A whole number within these bounds.
    Whole { min: i64, max: i64 },
    /// Three values (incident 80).
    Confirmation,
    /// Anything that is not null.
    Any,
}

/// Whether a function can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Asked for, before anything else happens.
    Required,
    /// Asked for if the calling number belongs to nobody that we know.
    IfUnknownCaller,
    Optional,
}

/// An argument of one function.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub argument: &'static Argument,
    pub need: Need,
}

impl Argument {
    /// The canonical name: in errors, answers and the agent's tools.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.names[0]
    }

    #[must_use]
    pub const fn required(&'static self) -> Parameter {
        Parameter { argument: self, need: Need::Required }
    }

    #[must_use]
    pub const fn if_unknown_caller(&'static self) -> Parameter {
        Parameter { argument: self, need: Need::IfUnknownCaller }
    }

    #[must_use]
    pub const fn optional(&'static self) -> Parameter {
        Parameter { argument: self, need: Need::Optional }
    }

    const fn new(names: &'static [&'static str], form: Form, description: &'static str) -> Self {
        Self { names, form, description, question: Key::NotUnderstood, covers: &[] }
    }

    const fn asking(self, question: Key) -> Self {
        Self { question, ..self }
    }

    const fn covering(self, covers: &'static [&'static str]) -> Self {
        Self { covers, ..self }
    }
}

/// What the caller is asked for the argument of that canonical name.
#[must_use]
pub fn question(name: &str) -> Key {
    ALL.iter().find(|argument| argument.name() == name).map_or(Key::NotUnderstood, |argument| argument.question)
}

/// Arguments that agents were told to fill in, and models filled with `call_001` or `{{call_id}}`: who calls comes from the signed call (incident 37), and the filler
/// sentence is Retell's own.
pub const NEVER_READ: &[&str] = &[
    "call_id",
    "retell_call_id",
    "execution_message",
    "from_number",
    "to_number",
    "company_id",
    "branch_id",
    "customer_id",
    "kunden_id",
    "agent_id",
    "vip_status",
];

pub static DATE: Argument = Argument::new(
    &["date", "datum", "appointment_date", "termin_datum", "booking_date", "date_string", "preferred_date", "tag", "wunschdatum", "wunschtag"],
    Form::Spoken,
    "Der Tag, so wie der Anrufer ihn sagt, zum Beispiel „nächsten Dienstag“ oder „am fünfzehnten Ersten“",
)
.asking(Key::AskDate);
pub static TIME: Argument = Argument::new(
    &["time", "uhrzeit", "appointment_time", "booking_time", "preferred_time", "zeit", "wunschzeit"],
    Form::Spoken,
    "Die Uhrzeit, so wie der Anrufer sie sagt, zum Beispiel „halb zehn“ oder „nachmittags“",
)
.asking(Key::AskTime);
pub static DATETIME: Argument = Argument::new(
    &["datetime", "date_time", "appointment_datetime", "start", "start_time", "starts_at", "datum_uhrzeit", "zeitpunkt"],
    Form::Spoken,
    "Tag und Uhrzeit in einem, statt der beiden einzelnen Angaben",
)
.asking(Key::AskDateAndTime)
.covering(&["date", "time"]);
pub static NEW_DATE: Argument =
    Argument::new(&["new_date", "new_datum", "neues_datum", "neuer_tag"], Form::Spoken, "Der neue Tag des Termins, so wie der Anrufer ihn sagt")
        .asking(Key::AskNewDateAndTime);
pub static NEW_TIME: Argument =
    Argument::new(&["new_time", "new_uhrzeit", "neue_uhrzeit", "neue_zeit"], Form::Spoken, "Die neue Uhrzeit des Termins, so wie der Anrufer sie sagt")
        .asking(Key::AskNewDateAndTime);
pub static NEW_DATETIME: Argument = Argument::new(
    &["new_datetime", "new_start", "new_start_time", "neuer_zeitpunkt"],
    Form::Spoken,
    "Neuer Tag und neue Uhrzeit in einem, statt der beiden einzelnen Angaben",
)
.asking(Key::AskNewDateAndTime)
.covering(&["new_date", "new_time"]);
pub static OLD_DATE: Argument = Argument::new(
    &["old_date", "old_datum", "altes_datum", "current_date", "original_date", "bisheriges_datum"],
    Form::Spoken,
    "Der Tag des bisherigen Termins",
)
.asking(Key::AskWhichAppointment);
pub static OLD_TIME: Argument = Argument::new(
    &["old_time", "old_uhrzeit", "alte_uhrzeit", "original_time", "bisherige_uhrzeit"],
    Form::Spoken,
    "Die Uhrzeit des bisherigen Termins; nötig, wenn der Anrufer an dem Tag mehrere hat",
)
.asking(Key::AskWhichAppointment);
pub static OLD_DATETIME: Argument =
    Argument::new(&["old_datetime", "old_start", "original_datetime", "bisheriger_zeitpunkt"], Form::Spoken, "Tag und Uhrzeit des bisherigen Termins in einem")
        .asking(Key::AskWhichAppointment)
        .covering(&["old_date", "old_time"]);
pub static CUSTOMER_NAME: Argument = Argument::new(
    &["customer_name", "name", "kundenname", "kunde", "full_name", "vollstaendiger_name"],
    Form::Text,
    "Vor- und Nachname dessen, der zum Termin kommt, nur wenn der Anrufer ihn gesagt hat",
)
.asking(Key::AskName);
pub static CUSTOMER_EMAIL: Argument = Argument::new(
    &["customer_email", "email", "e_mail", "email_address", "mail", "email_adresse"],
    Form::Text,
    "E-Mail-Adresse, nur wenn der Anrufer sie gesagt hat",
)
.asking(Key::AskEmail);
pub static CUSTOMER_PHONE: Argument = Argument::new(
    &["customer_phone", "telefonnummer", "phone_number", "phone", "telefon", "rufnummer", "rueckrufnummer", "callback_number"],
    Form::Text,
    "Eine andere Nummer als die, von der angerufen wird, nur wenn der Anrufer sie gesagt hat",
)
.asking(Key::AskPhone);
pub static SERVICE: Argument = Argument::new(
    &["service_name", "dienstleistung", "service", "leistung", "service_id", "behandlung"],
    Form::Text,
    "Die gewünschte Leistung, so wie der Anrufer sie nennt",
)
.asking(Key::AskService);
pub static STAFF: Argument = Argument::new(
    &["preferred_staff_id", "mitarbeiter", "mitarbeiter_wunsch", "preferred_staff", "staff_name", "staff", "staff_id", "wunschmitarbeiter"],
    Form::Text,
    "Der gewünschte Mitarbeiter, nur wenn der Anrufer einen nennt",
)
.asking(Key::AskStaff);
pub static REASON: Argument = Argument::new(
    &["reason", "grund", "cancellation_reason", "reschedule_reason", "stornierungsgrund", "anliegen", "topic", "thema"],
    Form::LongText,
    "Der Grund, in den Worten des Anrufers",
);
pub static NOTES: Argument = Argument::new(
    &["notes", "notizen", "bemerkung", "anmerkung", "note", "kundenpraeferenzen", "hinweis"],
    Form::LongText,
    "Was der Betrieb zum Termin wissen soll",
);
pub static CONFIRM: Argument = Argument::new(
    &["bestaetigung", "bestätigung", "confirm", "confirm_reschedule", "confirmation", "bestaetigt", "confirmed"],
    Form::Confirmation,
    "true, wenn der Anrufer dem genannten Termin ausdrücklich zugestimmt hat; false, wenn nur geprüft werden soll; sonst weglassen",
);
pub static APPOINTMENT: Argument = Argument::new(
    &["appointment_id", "termin_id", "appointment_number", "terminnummer"],
    Form::Whole { min: 1, max: 1_000_000_000 },
    "Die Nummer des Termins aus einer früheren Antwort in diesem Gespräch",
)
.asking(Key::AskWhichAppointment);
pub static DURATION: Argument =
    Argument::new(&["duration", "dauer", "duration_minutes", "dauer_minuten"], Form::Whole { min: 1, max: 1_440 }, "Gewünschte Dauer in Minuten")
        .asking(Key::AskDuration);
pub static SEARCH_DAYS: Argument =
    Argument::new(&["search_days", "suchtage", "tage"], Form::Whole { min: 1, max: 14 }, "Wie viele Tage weit gesucht werden soll, höchstens 14")
        .asking(Key::AskDate);
pub static AFTER: Argument =
    Argument::new(&["after", "ab", "fruehestens", "not_before"], Form::Spoken, "Frühester Zeitpunkt, so wie der Anrufer ihn sagt").asking(Key::AskDateAndTime);
pub static PREFERENCE_TYPE: Argument =
    Argument::new(&["preference_type", "praeferenz_art", "art"], Form::Text, "Worum es geht, zum Beispiel „staff“, „time“ oder „language“")
        .asking(Key::AskPreference);
pub static PREFERENCE_KEY: Argument =
    Argument::new(&["preference_key", "praeferenz_name", "schluessel", "key"], Form::Text, "Wie die Vorliebe heißt").asking(Key::AskPreference);
pub static PREFERENCE_VALUE: Argument =
    Argument::new(&["preference_value", "praeferenz_wert", "wert", "value"], Form::Any, "Was der Kunde möchte").asking(Key::AskPreference);
pub static PREFERRED_WINDOW: Argument = Argument::new(
    &["preferred_time_window", "preferred_time", "zeitfenster", "wunschzeit", "rueckrufzeit"],
    Form::Spoken,
    "Wann der Anrufer zurückgerufen werden möchte, in seinen Worten",
)
.asking(Key::AskCallbackTime);
pub static PRIORITY: Argument = Argument::new(&["priority", "urgency", "prioritaet", "dringlichkeit"], Form::Text, "normal, high oder urgent");
pub static BRANCH: Argument =
    Argument::new(&["branch", "filiale", "branch_name", "standort"], Form::Text, "Die Filiale, nur wenn der Anrufer eine nennt").asking(Key::AskBranch);
pub static BOOKING_DATA: Argument = Argument::new(&["booking_data", "buchungsdaten"], Form::Any, "Der gewünschte Termin");

/// Every argument, for tests and docs.
pub static ALL: [&Argument; 28] = [
    &DATE,
    &TIME,
    &DATETIME,
    &NEW_DATE,
    &NEW_TIME,
    &NEW_DATETIME,
    &OLD_DATE,
    &OLD_TIME,
    &OLD_DATETIME,
    &CUSTOMER_NAME,
    &CUSTOMER_EMAIL,
    &CUSTOMER_PHONE,
    &SERVICE,
    &STAFF,
    &REASON,
    &NOTES,
    &CONFIRM,
    &APPOINTMENT,
    &DURATION,
    &SEARCH_DAYS,
    &AFTER,
    &PREFERENCE_TYPE,
    &PREFERENCE_KEY,
    &PREFERENCE_VALUE,
    &PREFERRED_WINDOW,
    &PRIORITY,
    &BRANCH,
    &BOOKING_DATA,
];
